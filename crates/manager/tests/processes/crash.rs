//! The manager killed, at rest and at every moment of a creation and a deletion.

use crate::{
    Outcome,
    host::{Host, block_on, kill},
};
use std::process::Stdio;
use tessera_client::{Event, EventKind, VgpuState};
use tessera_manager::Moment;

fn of_kind(events: &[Event], kind: EventKind) -> Vec<&Event> {
    events.iter().filter(|event| event.kind == kind).collect()
}

pub(crate) fn a_restarted_manager_takes_its_workers_back() -> Outcome {
    block_on(async {
        let mut host = Host::new().await;
        let a = host.create("H100-20C", Some("a")).await.unwrap();
        let b = host.create("H100-20C", Some("b")).await.unwrap();
        let gpu = host.client.gpus().await.unwrap();
        host.kill_manager();
        assert_eq!(
            host.worker_processes().len(),
            2,
            "workers do not die with the manager"
        );
        host.start("good", None).await;
        for before in [&a, &b] {
            let after = host.until_running(&before.uuid.to_string()).await;
            assert_eq!((after.worker_pid, after.restarts), (before.worker_pid, 0));
            assert!(after.usage.is_some());
        }
        assert_eq!(host.client.gpus().await.unwrap(), gpu);
        let events = host.client.events(0).await.unwrap();
        assert_eq!(of_kind(&events, EventKind::WorkerTakenBack).len(), 2);
        // What was taken back is watched and can be deleted like the rest.
        kill(a.worker_pid.unwrap());
        let replaced = async |host: &Host| host.client.vgpu("a").await.unwrap().restarts == 1;
        host.until("a death after the take-over is seen", replaced).await;
        host.client.delete_vgpu("b").await.unwrap();
        host.client.delete_vgpu("a").await.unwrap();
        assert_eq!((host.reserved().await, host.worker_processes().len()), (0, 0));
    });
    Ok(())
}

pub(crate) fn workers_that_died_meanwhile_are_replaced() -> Outcome {
    block_on(async {
        let mut host = Host::new().await;
        let vgpu = host.create("H100-20C", Some("a")).await.unwrap();
        host.kill_manager();
        kill(vgpu.worker_pid.unwrap());
        // As after a reboot, when the run directory is gone.
        std::fs::remove_dir_all(host.directory.path().join("r")).unwrap();
        host.start("good", None).await;
        let after = host.until_running("a").await;
        assert_eq!(after.restarts, 1);
        assert!(after.last_failure.unwrap().contains("died while no manager ran"));
        let events = host.client.events(0).await.unwrap();
        assert_eq!(of_kind(&events, EventKind::WorkerDied).len(), 1);
    });
    Ok(())
}

pub(crate) fn at_every_moment_of_a_creation() -> Outcome {
    block_on(async {
        for moment in &Moment::ALL[..4] {
            let mut host = Host::with("good", Some(&format!("{moment:?}"))).await;
            host.create("H100-20C", Some("a")).await.unwrap_err();
            assert!(!host.manager_ended(), "{moment:?}: the manager was to crash");
            host.start("good", None).await;
            let vgpu = host.until_running("a").await;
            assert_eq!(host.reserved().await, 20 << 30, "{moment:?}");
            assert_eq!(
                host.worker_processes(),
                [vgpu.worker_pid.unwrap()],
                "{moment:?}: one worker and no other"
            );
            host.client.delete_vgpu("a").await.unwrap();
            assert_eq!(
                (host.reserved().await, host.worker_processes().len()),
                (0, 0),
                "{moment:?}"
            );
            assert!(host.vgpu_directories().is_empty(), "{moment:?}");
        }
    });
    Ok(())
}

pub(crate) fn at_every_moment_of_a_deletion() -> Outcome {
    block_on(async {
        for moment in &Moment::ALL[4..] {
            let mut host = Host::with("good", Some(&format!("{moment:?}"))).await;
            host.create("H100-20C", Some("a")).await.unwrap();
            host.create("H100-20C", Some("b")).await.unwrap();
            host.client.delete_vgpu("a").await.unwrap_err();
            assert!(!host.manager_ended(), "{moment:?}: the manager was to crash");
            host.start("good", None).await;
            let gone = async |host: &Host| host.client.vgpus(0).await.unwrap().len() == 1;
            host.until("the deletion is finished", gone).await;
            let other = host.until_running("b").await;
            assert_eq!(
                (other.state, other.restarts),
                (VgpuState::Running, 0),
                "{moment:?}"
            );
            assert_eq!(host.reserved().await, 20 << 30, "{moment:?}");
            assert_eq!(host.worker_processes(), [other.worker_pid.unwrap()], "{moment:?}");
            assert_eq!(host.vgpu_directories().len(), 1, "{moment:?}");
        }
    });
    Ok(())
}

pub(crate) fn two_managers_do_not_share_a_state() -> Outcome {
    block_on(async {
        let host = Host::new().await;
        let second = Host::command(host.directory.path(), "good", None)
            .stderr(Stdio::piped())
            .output()
            .unwrap();
        let message = String::from_utf8(second.stderr).unwrap();
        assert!(!second.status.success());
        assert!(
            message.contains("another manager uses") && message.contains("TESSERA_STATE_DIR"),
            "{message}"
        );
        assert!(host.client.manager().await.is_ok());
    });
    Ok(())
}
