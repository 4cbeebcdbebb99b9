//! `tessera types`.

use crate::{
    args::TypesOptions,
    commands::client,
    error::CliError,
    table::{self, Rows, or_dash},
    units::bytes,
};
use serde::Serialize;
use std::process::ExitCode;
use tessera_catalogue::catalogue;
use tessera_client::GpuType;

pub(crate) async fn run(options: TypesOptions, json: bool) -> Result<ExitCode, CliError> {
    match &options.board {
        Some(board) => of_board(board, json)?,
        None => of_gpus(&options, json).await?,
    }
    Ok(ExitCode::SUCCESS)
}

/// A type of one of the host's GPUs.
#[derive(Serialize)]
struct Line {
    gpu_index: u32,
    #[serde(flatten)]
    vgpu_type: GpuType,
}

async fn of_gpus(options: &TypesOptions, json: bool) -> Result<(), CliError> {
    let client = client();
    let mut lines = Vec::new();
    for gpu in client.gpus().await? {
        let wanted = options.gpu.as_deref();
        if wanted
            .is_some_and(|given| given != gpu.index.to_string() && !given.eq_ignore_ascii_case(&gpu.uuid))
        {
            continue;
        }
        for vgpu_type in client.types(&gpu.uuid).await? {
            if !options.creatable || vgpu_type.creatable.count > 0 {
                lines.push(Line {
                    gpu_index: gpu.index,
                    vgpu_type,
                });
            }
        }
    }
    if let (Some(gpu), true) = (&options.gpu, lines.is_empty()) {
        client.types(gpu).await?; // says that there is no such GPU, if that is why
    }
    if json {
        return table::json(&lines);
    }
    let mut rows = Rows::new(&["gpu", "type", "mode", ">fb", ">max", ">creatable", "why not"]);
    for Line { gpu_index, vgpu_type } in &lines {
        rows.add([
            gpu_index.to_string(),
            vgpu_type.name.clone(),
            vgpu_type.mode.clone(),
            bytes(vgpu_type.frame_buffer_bytes),
            or_dash(vgpu_type.max_per_gpu),
            vgpu_type.creatable.count.to_string(),
            vgpu_type.creatable.summary.clone().unwrap_or_default(),
        ]);
    }
    rows.print("no vGPU can be created; `tessera types` says why")
}

/// A type of the catalogue as `--json` shows it.
#[derive(Serialize)]
struct BoardType<'a> {
    name: &'a str,
    device_name: String,
    type_id: Option<u32>,
    series: String,
    mode: tessera_catalogue::Mode,
    frame_buffer_bytes: u64,
    max_per_gpu: Option<u32>,
    max_per_gpu_mixed_size: Option<u32>,
    max_per_gi: Option<u32>,
    gi_profile: Option<&'a str>,
    placement_size: Option<u32>,
    placement_ids_mixed_size: Option<&'a [u32]>,
    placement_ids_equal_size: Option<&'a [u32]>,
}

fn of_board(board: &str, json: bool) -> Result<(), CliError> {
    let board = catalogue().board(board)?;
    if json {
        let lines = board.vgpu_types.iter().map(|ty| BoardType {
            name: &ty.name,
            device_name: board.device_name(ty),
            type_id: ty.type_id,
            series: ty.series().to_string(),
            mode: ty.mode,
            frame_buffer_bytes: ty.frame_buffer_bytes(),
            max_per_gpu: ty.max_per_gpu,
            max_per_gpu_mixed_size: ty.max_per_gpu_mixed_size,
            max_per_gi: ty.max_per_gi,
            gi_profile: ty.gi_profile.as_deref(),
            placement_size: ty.placement_size,
            placement_ids_mixed_size: ty.placement_ids_mixed_size.as_deref(),
            placement_ids_equal_size: ty.placement_ids_equal_size.as_deref(),
        });
        return table::json(&lines.collect::<Vec<_>>());
    }
    let mut rows = Rows::new(&[
        "type",
        ">id",
        "mode",
        ">fb",
        ">max",
        ">mixed max",
        ">max per gi",
        "gi profile",
    ]);
    for ty in &board.vgpu_types {
        rows.add([
            ty.name.clone(),
            or_dash(ty.type_id),
            ty.mode.to_string(),
            bytes(ty.frame_buffer_bytes()),
            or_dash(ty.max_per_gpu),
            or_dash(ty.max_per_gpu_mixed_size),
            or_dash(ty.max_per_gi),
            or_dash(ty.gi_profile.as_deref()),
        ]);
    }
    rows.print("no vGPU types of this board are known")
}
