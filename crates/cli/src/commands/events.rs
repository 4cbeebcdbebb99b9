//! `tessera events`.

use crate::{args::EventsOptions, commands::client, error::CliError, table, units::timestamp};
use std::process::ExitCode;
use tessera_client::Event;

pub(crate) async fn run(options: EventsOptions, json: bool) -> Result<ExitCode, CliError> {
    if options.follow {
        let mut events = client().follow_events(options.after).await?;
        loop {
            let event = tokio::select! {
                event = events.next() => event?,
                _ = tokio::signal::ctrl_c() => None,
            };
            match event {
                Some(event) if json => table::json_line(&event)?,
                Some(event) => show(&event)?,
                None => return Ok(ExitCode::SUCCESS),
            }
        }
    }
    let mut after = options.after;
    let mut all = Vec::new();
    loop {
        let events = client().events(after).await?; // a thousand at a time
        let Some(last) = events.last() else { break };
        after = last.sequence;
        all.extend(events);
    }
    if json {
        table::json(&all)?;
    } else {
        all.iter().try_for_each(show)?;
    }
    Ok(ExitCode::SUCCESS)
}

fn show(event: &Event) -> Result<(), CliError> {
    let (time, kind) = (timestamp(event.time_ms), event.kind.as_str());
    table::print(&format!(
        "{:6}  {time}  {kind:17}  {}\n",
        event.sequence, event.message
    ))
}
