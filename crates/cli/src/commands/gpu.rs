//! `tessera gpu`.

use crate::{
    args::GpuCommand,
    commands::client,
    error::CliError,
    table::{self, Rows, or_dash},
    units::bytes,
};
use serde::Serialize;
use std::process::ExitCode;
use tessera_catalogue::{Board, catalogue};

pub(crate) async fn run(command: GpuCommand, json: bool) -> Result<ExitCode, CliError> {
    match command {
        GpuCommand::List => list(json).await?,
        GpuCommand::Boards => boards(json)?,
    }
    Ok(ExitCode::SUCCESS)
}

async fn list(json: bool) -> Result<(), CliError> {
    let gpus = client().gpus().await?;
    if json {
        return table::json(&gpus);
    }
    let mut rows = Rows::new(&[
        "gpu",
        "uuid",
        "name",
        "device",
        "cc",
        ">sms",
        ">vgpus",
        ">reserved",
        ">fb",
    ]);
    for gpu in &gpus {
        rows.add([
            gpu.index.to_string(),
            gpu.uuid.clone(),
            gpu.name.clone(),
            gpu.device.clone(),
            or_dash(gpu.compute_capability),
            or_dash(gpu.sm_count),
            gpu.vgpus.to_string(),
            bytes(gpu.frame_buffer_reserved_bytes),
            bytes(gpu.frame_buffer_bytes),
        ]);
    }
    rows.print("this host has no GPU")
}

/// A board as `--json` shows it.
#[derive(Serialize)]
struct BoardLine<'a> {
    id: &'a str,
    name: &'a str,
    architecture: String,
    compute_capability: Option<String>,
    sm_count: Option<u32>,
    frame_buffer_bytes: u64,
    vgpu_types: usize,
    mig_capable: bool,
}

fn line(board: &Board) -> BoardLine<'_> {
    BoardLine {
        id: &board.id,
        name: &board.name,
        architecture: board.architecture.to_string(),
        compute_capability: board
            .compute_capability
            .map(|(major, minor)| format!("{major}.{minor}")),
        sm_count: board.sm_count,
        frame_buffer_bytes: board.vgpu_memory_mib() << 20,
        vgpu_types: board.vgpu_types.len(),
        mig_capable: board.mig_capable,
    }
}

fn boards(json: bool) -> Result<(), CliError> {
    let lines: Vec<BoardLine<'_>> = catalogue().boards().iter().map(line).collect();
    if json {
        return table::json(&lines);
    }
    let mut rows = Rows::new(&[
        "board",
        "name",
        "architecture",
        "cc",
        ">sms",
        ">fb",
        ">types",
        "mig",
    ]);
    for board in lines {
        rows.add([
            board.id.to_owned(),
            board.name.to_owned(),
            board.architecture,
            or_dash(board.compute_capability),
            or_dash(board.sm_count),
            bytes(board.frame_buffer_bytes),
            board.vgpu_types.to_string(),
            if board.mig_capable { "yes" } else { "no" }.to_owned(),
        ]);
    }
    rows.print("the catalogue is empty")
}
