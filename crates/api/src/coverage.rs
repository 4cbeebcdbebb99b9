//! The page `docs/driver-api-coverage.md`, written from the table.

use crate::functions::{Class, Function, TableError, functions};
use std::collections::BTreeMap;
use std::fmt::Write as _;

/// The whole page in Markdown.
pub fn coverage_page() -> Result<String, TableError> {
    let table = functions()?;
    let mut page = String::from(
        "# Coverage of the CUDA driver API\n\n\
         Written from `crates/api/functions.toml` by `tessera_api::coverage_page`; a test keeps it current.\n\n\
         *local*: answered in the guest library. *posted*: sent and not waited for. *call*: the caller waits. *unsupported*: exported,\n\
         answers `CUDA_ERROR_NOT_SUPPORTED` and is logged once by name. *Symbols*: served / exported; old variants with 32-bit sizes are\n\
         exported but not served. *Priority*: 0 = on the way to the first kernel of some client, 3 = seen nowhere.\n\n",
    );
    summary(&mut page, &table);
    let mut areas: BTreeMap<&str, Vec<&Function>> = BTreeMap::new();
    for function in &table {
        areas.entry(&function.area).or_default().push(function);
    }
    for (area, functions) in areas {
        let _ = writeln!(
            page,
            "\n## {area}\n\n| function | priority | class | symbols |\n|---|--:|---|--:|"
        );
        for function in functions {
            let _ = writeln!(
                page,
                "| `{}` | {} | {} | {} / {} |",
                function.name,
                function.priority,
                function.class.as_str(),
                served(function),
                function.entries.len()
            );
        }
    }
    Ok(page)
}

fn served(function: &Function) -> usize {
    function
        .entries
        .iter()
        .filter(|entry| function.implementation(entry).is_some())
        .count()
}

fn summary(page: &mut String, table: &[Function]) {
    page.push_str(
        "| priority | functions | local | posted | call | unsupported |\n|--:|--:|--:|--:|--:|--:|\n",
    );
    let count = |priority: Option<u8>, class: Option<Class>| {
        table
            .iter()
            .filter(|function| priority.is_none_or(|wanted| function.priority == wanted))
            .filter(|function| class.is_none_or(|wanted| function.class == wanted))
            .count()
    };
    for priority in [Some(0), Some(1), Some(2), Some(3), None] {
        let name = priority.map_or_else(|| "all".to_owned(), |number: u8| number.to_string());
        let _ = writeln!(
            page,
            "| {name} | {} | {} | {} | {} | {} |",
            count(priority, None),
            count(priority, Some(Class::Local)),
            count(priority, Some(Class::Posted)),
            count(priority, Some(Class::Call)),
            count(priority, Some(Class::Unsupported))
        );
    }
}
