//! The API over its socket.

use crate::{
    Outcome,
    host::{Host, block_on, refusal},
};
use std::{
    io::{Read as _, Write as _},
    os::unix::{fs::PermissionsExt as _, net::UnixStream},
};
use tessera_client::{Client, ClientError, CreateVgpu, ErrorCode, EventKind, VgpuState};

pub(crate) fn a_vgpu_is_created_shown_and_deleted() -> Outcome {
    block_on(async {
        let host = Host::new().await;
        let created = host.create("H100-20C", Some("train")).await.unwrap();
        assert_eq!(created.state, VgpuState::Running);
        assert_eq!(
            (created.device_name.as_str(), created.gpu_index),
            ("NVIDIA H100-20C", 0)
        );
        assert_eq!(created.compute_capability.unwrap().to_string(), "9.0");
        assert!(created.guest_socket.exists() && created.worker_log.exists());
        let uuid = created.uuid.to_string();
        for given in [uuid.as_str(), &uuid[..8], "train"] {
            assert_eq!(
                host.client.vgpu(given).await.unwrap().uuid,
                created.uuid,
                "{given}"
            );
        }
        assert_eq!(host.client.vgpus(0).await.unwrap().len(), 1);
        assert_eq!(host.reserved().await, 20 << 30);
        let mode = std::fs::metadata(host.client.socket())
            .unwrap()
            .permissions()
            .mode();
        assert_eq!(mode & 0o777, 0o600);

        host.client.delete_vgpu("train").await.unwrap();
        assert_eq!(host.reserved().await, 0);
        assert!(host.vgpu_directories().is_empty() && host.worker_processes().is_empty());
        let (code, message) = refusal(host.client.vgpu("train").await);
        assert_eq!(code, ErrorCode::NotFound);
        assert!(
            message.contains("`train`") && message.contains("tessera vgpu list"),
            "{message}"
        );
    });
    Ok(())
}

pub(crate) fn refusals_say_what_and_why() -> Outcome {
    block_on(async {
        let host = Host::new().await;
        host.create("H100-40C", Some("a")).await.unwrap();
        host.create("H100-40C", None).await.unwrap();
        for (vgpu_type, name, code, part) in [
            ("H100-40C", None, ErrorCode::InsufficientResources, "as many as"),
            ("H100-20C", None, ErrorCode::Conflict, "equal-size mode"),
            ("H100-2-20C", None, ErrorCode::NotSupported, "MIG mode is off"),
            (
                "H100-21C",
                None,
                ErrorCode::InvalidArgument,
                "NVIDIA H100 PCIe 80 GB has no vGPU type `H100-21C`",
            ),
            ("H100-40C", Some("a"), ErrorCode::Conflict, "is taken by"),
            (
                "H100-40C",
                Some("a b"),
                ErrorCode::InvalidArgument,
                "cannot be the name",
            ),
        ] {
            let (found, message) = refusal(host.create(vgpu_type, name).await);
            assert_eq!(found, code, "{message}");
            assert!(message.contains(part), "{message}");
        }
        let elsewhere = CreateVgpu {
            vgpu_type: "H100-40C".into(),
            gpu: Some("3".into()),
            ..CreateVgpu::default()
        };
        let (code, message) = refusal(host.client.create_vgpu(&elsewhere).await);
        assert!(
            code == ErrorCode::NotFound && message.contains("no GPU `3`"),
            "{message}"
        );
        assert_eq!(host.client.vgpus(0).await.unwrap().len(), 2);

        let nobody = Client::new(host.directory.path().join("nobody.sock"));
        let error = nobody.gpus().await.unwrap_err();
        assert!(matches!(error, ClientError::NoManager { .. }), "{error}");
        assert!(error.to_string().contains("tessera manager"), "{error}");
    });
    Ok(())
}

pub(crate) fn types_tell_what_can_be_created() -> Outcome {
    block_on(async {
        let host = Host::new().await;
        let count = async |name: &str| {
            let types = host.client.types("0").await.unwrap();
            types.into_iter().find(|ty| ty.name == name).unwrap().creatable
        };
        assert_eq!(count("H100-20C").await.count, 4);
        assert_eq!(count("H100-80C").await.count, 1);
        let mig = count("H100-7-80C").await;
        assert!(mig.count == 0 && mig.reason.unwrap().contains("MIG mode is off"));
        host.create("H100-20C", None).await.unwrap();
        assert_eq!(count("H100-20C").await.count, 3);
        let other = count("H100-80C").await;
        assert!(other.count == 0 && other.reason.unwrap().contains("equal-size"));
        let gpu = host.client.gpus().await.unwrap().remove(0);
        assert_eq!(host.client.types(&gpu.uuid).await.unwrap().len(), 15);
    });
    Ok(())
}

/// One request by hand; gives the answer's first line and its body.
fn by_hand(host: &Host, request: &str) -> (String, String) {
    let mut stream = UnixStream::connect(host.client.socket()).unwrap();
    stream.write_all(request.as_bytes()).unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    let (head, body) = answer.split_once("\r\n\r\n").unwrap_or((&answer, ""));
    (
        head.lines().next().unwrap_or_default().to_owned(),
        body.to_owned(),
    )
}

pub(crate) fn requests_that_make_no_sense() -> Outcome {
    block_on(async {
        let host = Host::new().await;
        let post = |body: &str| {
            let length = body.len();
            by_hand(
                &host,
                &format!(
                    "POST /v1/vgpus HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Type: application/json\r\nContent-Length: {length}\r\n\r\n{body}"
                ),
            )
        };
        for (body, part) in [
            ("{", "invalid_argument"),
            ("{\"vgpu_type\": 7}", "vgpu_type"),
            ("{\"vgpu_typ\": \"H100-20C\"}", "vgpu_typ"),
            (
                "{\"vgpu_type\": \"H100-20C\", \"compute_capability\": \"nine\"}",
                "compute capability",
            ),
        ] {
            let (status, answer) = post(body);
            assert!(
                status.contains(" 400 ") || status.contains(" 422 "),
                "{status}: {answer}"
            );
            assert!(
                answer.contains(part) && answer.contains("invalid_argument"),
                "{answer}"
            );
        }
        let get = |path: &str| {
            by_hand(
                &host,
                &format!("GET {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"),
            )
        };
        assert!(get("/v1/nothing").0.contains(" 404 "));
        assert!(get("/v1/events?after=x").1.contains("invalid_argument"));
        assert!(get("/v1/vgpus/%ff").1.contains("invalid_argument"));
        let (status, _) = by_hand(
            &host,
            "PUT /v1/gpus HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n",
        );
        assert!(status.contains(" 405 "), "{status}");
        let (status, _) = by_hand(&host, "this is not HTTP\r\n\r\n");
        assert!(status.contains(" 400 "), "{status}");
        drop(UnixStream::connect(host.client.socket()).unwrap());
        assert!(host.client.vgpus(0).await.unwrap().is_empty());
    });
    Ok(())
}

pub(crate) fn the_description_has_every_path() -> Outcome {
    block_on(async {
        let host = Host::new().await;
        let description = host.client.openapi().await.unwrap();
        let paths = description["paths"].as_object().unwrap();
        let mut found: Vec<&str> = paths.keys().map(String::as_str).collect();
        found.sort_unstable();
        let expected = [
            "/v1/events",
            "/v1/events/stream",
            "/v1/gpus",
            "/v1/gpus/{gpu}/types",
            "/v1/manager",
            "/v1/vgpus",
            "/v1/vgpus/{vgpu}",
        ];
        assert_eq!(found, expected);
        assert!(paths["/v1/vgpus/{vgpu}"]["delete"].is_object() && paths["/v1/vgpus"]["post"].is_object());
        let schemas = description["components"]["schemas"].as_object().unwrap();
        assert!(
            schemas.contains_key("Vgpu")
                && schemas.contains_key("CreateVgpu")
                && schemas.contains_key("ApiError")
        );
    });
    Ok(())
}

pub(crate) fn events_are_followed() -> Outcome {
    block_on(async {
        let host = Host::new().await;
        let mut stream = host.client.follow_events(0).await.unwrap();
        let first = stream.next().await.unwrap().unwrap();
        assert_eq!(first.kind, EventKind::ManagerStarted);
        let vgpu = host.create("H100-20C", None).await.unwrap();
        host.client.delete_vgpu(&vgpu.uuid.to_string()).await.unwrap();
        for kind in [
            EventKind::VgpuCreated,
            EventKind::WorkerStarted,
            EventKind::VgpuDeleted,
        ] {
            let event = stream.next().await.unwrap().unwrap();
            assert_eq!(
                (event.kind, event.vgpu),
                (kind, Some(vgpu.uuid)),
                "{}",
                event.message
            );
        }
        let listed = host.client.events(first.sequence).await.unwrap();
        assert_eq!(listed.len(), 3);
        assert!(
            listed[0]
                .message
                .contains("of type H100-20C was created on GPU 0"),
            "{}",
            listed[0].message
        );
    });
    Ok(())
}

pub(crate) fn usage_comes_from_the_worker() -> Outcome {
    block_on(async {
        let host = Host::new().await;
        let request = CreateVgpu {
            vgpu_type: "H100-10C".into(),
            compute_capability: Some("12.0".parse().unwrap()),
            ..CreateVgpu::default()
        };
        let created = host.client.create_vgpu(&request).await.unwrap();
        assert_eq!(created.compute_capability.unwrap().to_string(), "12.0");
        let usage = created.usage.unwrap();
        assert_eq!(
            (usage.frame_buffer_used_bytes, usage.kernels, usage.time_share),
            (1 << 30, 42, None)
        );
        assert_eq!(
            usage.processes[0].name, "train[2J.py",
            "no control characters for terminals"
        );
        let fault = usage.processes[0].last_fault.as_deref();
        assert_eq!(fault, Some("seen as NVIDIA H100-10C at 00000000:06:00.0"));
        let measured = host.client.vgpus(50).await.unwrap().remove(0).usage.unwrap();
        // The stand-in counts one of two executors busy all the time, by the same clock that it reports.
        assert!((measured.time_share.unwrap() - 0.5).abs() < 1e-9, "{measured:?}");
    });
    Ok(())
}

pub(crate) fn creations_at_the_same_time() -> Outcome {
    block_on(async {
        let host = Host::new().await;
        let attempts = (0..10).map(|_| host.create("H100-20C", None));
        let results = futures_util::future::join_all(attempts).await;
        let (made, refused): (Vec<_>, Vec<_>) = results.into_iter().partition(Result::is_ok);
        assert_eq!((made.len(), refused.len()), (4, 6));
        for result in refused {
            assert_eq!(refusal(result).0, ErrorCode::InsufficientResources);
        }
        assert_eq!(host.reserved().await, 80 << 30);
        assert_eq!(host.worker_processes().len(), 4);
        let deletions = made.iter().map(|vgpu| {
            let uuid = vgpu.as_ref().unwrap().uuid.to_string();
            async { host.client.delete_vgpu(&{ uuid }).await }
        });
        assert!(
            futures_util::future::join_all(deletions)
                .await
                .iter()
                .all(Result::is_ok)
        );
        assert_eq!(host.reserved().await, 0);
    });
    Ok(())
}
