//! `tessera vgpu`.

use crate::{
    args::{CreateOptions, ListOptions, VgpuCommand},
    commands::client,
    error::CliError,
    table::{self, Rows, or_dash},
    units::{age, bar, bytes, now_ms, timestamp},
};
use std::{
    io::{self, IsTerminal as _},
    process::ExitCode,
    time::Duration,
};
use tessera_client::{Client, CreateVgpu, Tiers, Vgpu};

/// How long time shares are measured for a single look, milliseconds.
const LOOK_MS: u32 = 200;

pub(crate) async fn run(command: VgpuCommand, json: bool) -> Result<ExitCode, CliError> {
    match command {
        VgpuCommand::Create(options) => create(options, json).await?,
        VgpuCommand::List(options) => list(options, json).await?,
        VgpuCommand::Show { vgpu } => show(&vgpu, json).await?,
        VgpuCommand::Delete { vgpus } => return delete(&vgpus, json).await,
    }
    Ok(ExitCode::SUCCESS)
}

async fn create(options: CreateOptions, json: bool) -> Result<(), CliError> {
    let request = CreateVgpu {
        vgpu_type: options.vgpu_type,
        gpu: options.gpu,
        name: options.name,
        compute_capability: options.compute_capability,
        enable_uvm: options.enable_uvm,
    };
    let vgpu = client().create_vgpu(&request).await?;
    if json {
        return table::json(&vgpu);
    }
    // The UUID alone on standard output, for scripts; what it means goes to a person's eyes.
    if io::stdout().is_terminal() {
        let name = vgpu
            .name
            .as_deref()
            .map_or_else(String::new, |name| format!(" ({name})"));
        eprintln!(
            "created{name}: {} on GPU {}, {}",
            vgpu.vgpu_type,
            vgpu.gpu_index,
            bytes(vgpu.frame_buffer_bytes)
        );
    }
    table::print(&format!("{}\n", vgpu.uuid))
}

async fn delete(vgpus: &[String], json: bool) -> Result<ExitCode, CliError> {
    let client = client();
    let mut code = ExitCode::SUCCESS;
    let mut deleted = Vec::new();
    for vgpu in vgpus {
        match client.delete_vgpu(vgpu).await {
            Ok(()) => deleted.push(vgpu),
            Err(error) => {
                let error = CliError::from(error);
                eprintln!("tessera: {error}");
                code = error.exit_code();
            }
        }
    }
    if json {
        table::json(&serde_json::json!({ "deleted": deleted }))?;
    }
    Ok(code)
}

async fn show(vgpu: &str, json: bool) -> Result<(), CliError> {
    let vgpu = client().vgpu(vgpu).await?;
    if json {
        return table::json(&vgpu);
    }
    let used = vgpu
        .usage
        .as_ref()
        .map(|usage| bytes(usage.frame_buffer_used_bytes));
    let mut facts = vec![
        ("uuid", vgpu.uuid.to_string()),
        ("name", or_dash(vgpu.name.as_ref())),
        ("type", vgpu.vgpu_type.clone()),
        ("guests see", vgpu.device_name.clone()),
        ("compute capability", or_dash(vgpu.compute_capability)),
        (
            "unified memory",
            if vgpu.enable_uvm { "enabled" } else { "off" }.to_owned(),
        ),
        ("gpu", format!("{} ({})", vgpu.gpu_index, vgpu.gpu_uuid)),
        ("state", vgpu.state.to_string()),
        (
            "frame buffer",
            format!("{} of {} used", or_dash(used), bytes(vgpu.frame_buffer_bytes)),
        ),
        ("created", timestamp(vgpu.created_at_ms)),
        ("worker process", or_dash(vgpu.worker_pid)),
        ("worker restarts", vgpu.restarts.to_string()),
        ("last failure", or_dash(vgpu.last_failure.as_ref())),
        ("guest socket", vgpu.guest_socket.display().to_string()),
        ("worker log", vgpu.worker_log.display().to_string()),
    ];
    if let Some(usage) = &vgpu.usage {
        facts.push(("kernels", usage.kernels.to_string()));
        facts.push(("bytes copied", bytes(usage.copied_bytes)));
        facts.extend(tiers(&usage.tiers));
        for process in &usage.processes {
            let fault = process
                .last_fault
                .as_ref()
                .map_or_else(String::new, |fault| format!(", fault: {fault}"));
            let (held, kernels) = (bytes(process.frame_buffer_used_bytes), process.kernels);
            facts.push((
                "process",
                format!(
                    "{} {}, {held}, {kernels} kernels{fault}",
                    process.pid, process.name
                ),
            ));
        }
    }
    table::facts(&facts)
}

/// How kernels were carried out; only what there is to say.
fn tiers(tiers: &Tiers) -> Vec<(&'static str, String)> {
    let stays = [
        ("not hot", tiers.cold),
        ("by option", tiers.option),
        ("by processor", tiers.processor),
        ("warps part", tiers.contended),
        ("does not pay", tiers.unprofitable),
        ("cannot be compiled", tiers.impossible),
    ];
    let interpreted: u64 = stays.iter().map(|(_, count)| count).sum();
    let why = stays.iter().filter(|(_, count)| *count > 0);
    let why: Vec<String> = why.map(|(why, count)| format!("{count} {why}")).collect();
    let mut facts = vec![
        (
            "launches",
            format!(
                "{} in machine code, {interpreted} in the interpreter, {} changed",
                tiers.native, tiers.changes
            ),
        ),
        (
            "machine code",
            format!(
                "{}; {} compiled in {:.1} ms, {} from the cache, {} shared",
                bytes(tiers.code_bytes),
                tiers.compiled,
                // Precise enough for a person.
                Duration::from_nanos(tiers.compile_ns).as_secs_f64() * 1e3,
                tiers.loaded,
                tiers.shared
            ),
        ),
    ];
    if !why.is_empty() {
        facts.push(("interpreted because", why.join(", ")));
    }
    facts
}

async fn list(options: ListOptions, json: bool) -> Result<(), CliError> {
    let client = client();
    if options.watch {
        return watch(&client, options.interval, json).await;
    }
    let vgpus = client.vgpus(if json { 0 } else { LOOK_MS }).await?;
    if json {
        table::json(&vgpus)
    } else {
        rows(&vgpus).print("no vGPUs; `tessera vgpu create` makes one")
    }
}

async fn watch(client: &Client, interval: f64, json: bool) -> Result<(), CliError> {
    let pause = Duration::try_from_secs_f64(interval)
        .ok()
        .filter(|pause| *pause >= Duration::from_millis(50));
    let pause =
        pause.ok_or_else(|| CliError::Usage(format!("--interval {interval}: give 0.05 seconds or more")))?;
    let terminal = io::stdout().is_terminal();
    loop {
        let vgpus = client.vgpus(0).await?;
        if json {
            table::json_line(&vgpus)?;
        } else {
            let text = rows(&vgpus).text();
            // Home, the table with the rest of each line cleared, then the rest of the screen cleared: no flicker.
            let text = if terminal {
                format!("\x1b[H{}\x1b[J", text.replace('\n', "\x1b[K\n"))
            } else {
                text
            };
            table::print(&text)?;
        }
        tokio::select! {
            () = tokio::time::sleep(pause) => {}
            _ = tokio::signal::ctrl_c() => return Ok(()),
        }
    }
}

fn rows(vgpus: &[Vgpu]) -> Rows {
    let mut rows = Rows::new(&[
        "vgpu",
        "uuid",
        "type",
        "gpu",
        "state",
        ">fb used",
        ">fb",
        "",
        ">time",
        ">kernels",
        ">age",
        "processes",
    ]);
    let now = now_ms();
    for vgpu in vgpus {
        let usage = vgpu.usage.as_ref();
        let used = usage.map(|usage| usage.frame_buffer_used_bytes);
        let processes = usage.map(|usage| {
            let shown = usage
                .processes
                .iter()
                .map(|process| format!("{} {}", process.pid, process.name));
            shown.collect::<Vec<_>>().join(", ")
        });
        let uuid = vgpu.uuid.to_string();
        rows.add([
            or_dash(vgpu.name.as_ref()),
            uuid.split('-').next().unwrap_or_default().to_owned(),
            vgpu.vgpu_type.clone(),
            vgpu.gpu_index.to_string(),
            vgpu.state.to_string(),
            or_dash(used.map(bytes)),
            bytes(vgpu.frame_buffer_bytes),
            bar(used.unwrap_or(0), vgpu.frame_buffer_bytes),
            or_dash(
                usage
                    .and_then(|usage| usage.time_share)
                    .map(|share| format!("{:.0}%", share * 100.0)),
            ),
            or_dash(usage.map(|usage| usage.kernels)),
            age(vgpu.created_at_ms, now),
            processes.unwrap_or_default(),
        ]);
    }
    rows
}
