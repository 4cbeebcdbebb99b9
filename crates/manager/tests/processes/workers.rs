//! Workers that die, hang or never start.

use crate::{
    Outcome,
    host::{Host, block_on, kill, refusal},
};
use tessera_client::{ErrorCode, EventKind, VgpuState};

pub(crate) fn a_killed_worker_is_reported_and_replaced() -> Outcome {
    block_on(async {
        let host = Host::new().await;
        let victim = host.create("H100-20C", Some("victim")).await.unwrap();
        let neighbour = host.create("H100-20C", Some("neighbour")).await.unwrap();
        let dead = victim.worker_pid.unwrap();
        let mut events = host.client.follow_events(0).await.unwrap();
        kill(dead);
        let died = loop {
            let event = events.next().await.unwrap().unwrap();
            if event.kind == EventKind::WorkerDied {
                break event;
            }
        };
        assert_eq!(died.vgpu, Some(victim.uuid));
        assert!(
            died.message.contains(&format!("(process {dead})")),
            "{}",
            died.message
        );
        assert!(died.message.contains("signal 9 (SIGKILL)"), "{}", died.message);
        let again = host.until_running("victim").await;
        assert_eq!((again.uuid, again.restarts), (victim.uuid, 1));
        assert!(again.worker_pid != Some(dead) && again.last_failure.unwrap().contains("signal 9"));
        let other = host.client.vgpu("neighbour").await.unwrap();
        assert_eq!((other.worker_pid, other.restarts), (neighbour.worker_pid, 0));
        assert_eq!(host.reserved().await, 40 << 30);
        assert_eq!(host.worker_processes().len(), 2);
    });
    Ok(())
}

pub(crate) fn a_worker_that_keeps_dying_is_given_up() -> Outcome {
    block_on(async {
        let host = Host::new().await;
        let vgpu = host.create("H100-20C", Some("sick")).await.unwrap();
        std::fs::write(vgpu.guest_socket.with_file_name("dies-next-time"), "").unwrap();
        kill(vgpu.worker_pid.unwrap());
        let failed = async |host: &Host| host.client.vgpu("sick").await.unwrap().state == VgpuState::Failed;
        host.until("the vGPU is given up", failed).await;
        let found = host.client.vgpu("sick").await.unwrap();
        let reason = found.last_failure.unwrap();
        assert!(
            reason.contains("exit code 7") && reason.contains("dying as told"),
            "{reason}"
        );
        assert!(
            reason.contains("worker.log") && reason.contains("delete the vGPU"),
            "{reason}"
        );
        assert_eq!((found.worker_pid, host.reserved().await), (None, 20 << 30));
        host.client.delete_vgpu("sick").await.unwrap();
        assert_eq!(host.reserved().await, 0);
        host.create("H100-80C", None).await.unwrap();
    });
    Ok(())
}

pub(crate) fn a_worker_that_cannot_start_leaves_nothing() -> Outcome {
    block_on(async {
        let host = Host::with("dies", None).await;
        let (code, message) = refusal(host.create("H100-20C", None).await);
        assert_eq!(code, ErrorCode::WorkerFailed);
        assert!(
            message.contains("exit code 7") && message.contains("dying as told"),
            "{message}"
        );
        assert!(host.client.vgpus(0).await.unwrap().is_empty());
        assert_eq!(host.reserved().await, 0);
        assert!(host.vgpu_directories().is_empty());
    });
    Ok(())
}

pub(crate) fn a_worker_that_does_not_end_is_killed() -> Outcome {
    block_on(async {
        let host = Host::with("mute", None).await;
        let vgpu = host.create("H100-20C", Some("mute")).await.unwrap();
        assert_eq!(host.worker_processes(), [vgpu.worker_pid.unwrap()]);
        host.client.delete_vgpu("mute").await.unwrap();
        assert!(host.worker_processes().is_empty());
        assert_eq!(host.reserved().await, 0);
    });
    Ok(())
}

pub(crate) fn workers_can_be_stopped_with_the_manager() -> Outcome {
    block_on(async {
        let mut host = Host::new().await;
        let before = host.create("H100-20C", Some("stays")).await.unwrap();
        host.tell_manager("quit");
        assert!(host.manager_ended());
        assert!(host.worker_processes().is_empty());
        assert!(!host.client.socket().exists());
        host.start("good", None).await;
        let after = host.until_running("stays").await;
        assert_eq!(
            (after.uuid, after.restarts, after.last_failure),
            (before.uuid, 0, None)
        );
    });
    Ok(())
}
