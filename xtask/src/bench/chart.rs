//! Charts of the benchmark page, as SVG.

use super::engine::Kernel;
use anyhow::{Result, anyhow};
use plotters::prelude::*;
use std::path::Path;

/// Ways of running a kernel that are drawn, with their colours.
const WAYS: [(&str, RGBColor); 4] = [
    ("native, by hand in vectors", RGBColor(120, 120, 120)),
    ("OpenCL", RGBColor(214, 137, 16)),
    ("tier 0", RGBColor(93, 173, 226)),
    ("tier 1", RGBColor(30, 132, 73)),
];
const ROW: u32 = 62;

/// A bar per kernel and way: its time in units of native code's, on a logarithmic scale around 1.
pub(super) fn ratios(path: &Path, kernels: &[Kernel]) -> Result<()> {
    let count = u32::try_from(kernels.len())?;
    let root = SVGBackend::new(path, (980, 90 + ROW * count)).into_drawing_area();
    let fail = |e: &dyn std::fmt::Display| anyhow!("cannot draw {}: {e}", path.display());
    root.fill(&WHITE).map_err(|e| fail(&e))?;
    let rows = f64::from(count);
    let mut chart = ChartBuilder::on(&root)
        .caption(
            "Time in units of native code's (less is better)",
            ("sans-serif", 20),
        )
        .margin(12)
        .x_label_area_size(36)
        .y_label_area_size(230)
        .build_cartesian_2d((0.02f64..100.0).log_scale(), rows..0.0)
        .map_err(|e| fail(&e))?;
    let label = |y: &f64| {
        let at = (y - 0.5).round();
        #[allow(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "a row number"
        )]
        let kernel = kernels.get(at.max(0.0) as usize);
        kernel
            .filter(|_| (y - 0.5 - at).abs() < 0.01)
            .map_or_else(String::new, |k| k.title.clone())
    };
    chart
        .configure_mesh()
        .disable_y_mesh()
        .y_labels(kernels.len() * 2 + 1)
        .y_label_formatter(&label)
        .x_label_formatter(&|x| format!("{x}"))
        .draw()
        .map_err(|e| fail(&e))?;
    chart
        .draw_series(LineSeries::new([(1.0, 0.0), (1.0, rows)], BLACK))
        .map_err(|e| fail(&e))?;
    for (slot, (way, colour)) in (0u32..).zip(WAYS) {
        let bars = (0u32..).zip(kernels).filter_map(|(row, kernel)| {
            let ratio = kernel.ns.get(way)? / kernel.ns.get("native")?;
            let top = f64::from(row) + 0.1 + 0.2 * f64::from(slot);
            Some(Rectangle::new([(1.0, top), (ratio, top + 0.18)], colour.filled()))
        });
        chart
            .draw_series(bars)
            .map_err(|e| fail(&e))?
            .label(way)
            .legend(move |(x, y)| Rectangle::new([(x, y - 5), (x + 14, y + 5)], colour.filled()));
    }
    chart
        .configure_series_labels()
        .border_style(BLACK)
        .background_style(WHITE)
        .position(SeriesLabelPosition::LowerRight)
        .draw()
        .map_err(|e| fail(&e))?;
    root.present().map_err(|e| fail(&e))
}
