//! The table keeps the facts that clients rely on.

use std::collections::BTreeSet;
use std::path::Path;
use tessera_api::{Class, coverage_page, exports, functions, symbols};

#[test]
fn every_symbol_of_the_headers_is_there() {
    let symbols = symbols().expect("the table reads");
    assert_eq!(symbols.len(), 725);
    assert_eq!(symbols.iter().collect::<BTreeSet<_>>().len(), 725);
    assert_eq!(functions().expect("the table reads").len(), 517);
}

#[test]
fn all_functions_of_the_first_priority_are_served() {
    let missing: Vec<String> = functions()
        .expect("the table reads")
        .into_iter()
        .filter(|function| function.priority == 0 && function.class == Class::Unsupported)
        .map(|function| function.name)
        .collect();
    assert!(missing.is_empty(), "{missing:?}");
}

#[test]
fn newest_versions_are_the_measured_ones() {
    let table = functions().expect("the table reads");
    let newest = |name: &str| {
        let row = table.iter().find(|row| row.name == name).expect("row exists");
        row.entries
            .iter()
            .filter(|entry| !entry.per_thread)
            .map(|entry| entry.since)
            .max()
    };
    for (name, version) in [
        ("cuCtxGetDevice", 13000),
        ("cuCtxSynchronize", 13000),
        ("cuEventElapsedTime", 12080),
        ("cuLaunchHostFunc", 13010),
        ("cuCtxCreate", 12050),
        ("cuGetProcAddress", 12000),
    ] {
        assert_eq!(newest(name), Some(version), "{name}");
    }
}

#[test]
fn generated_source_mentions_every_symbol_once() {
    let source = exports().expect("the table reads");
    for symbol in symbols().expect("the table reads") {
        assert_eq!(source.matches(&format!("fn {symbol}(")).count(), 1, "{symbol}");
    }
}

#[test]
fn the_committed_page_is_current() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/driver-api-coverage.md");
    let page = coverage_page().expect("the table reads");
    if std::env::var_os("TESSERA_BLESS").is_some() {
        std::fs::write(&path, &page).expect("the page can be written");
    }
    let committed = std::fs::read_to_string(&path).expect("the page is there");
    assert!(
        committed == page,
        "docs/driver-api-coverage.md is stale: run the test with TESSERA_BLESS=1"
    );
}

#[test]
fn messages_that_rows_name_exist() {
    let messages = tessera_api::messages::Table::load()
        .expect("the table of messages reads")
        .messages;
    for function in functions().expect("the table reads") {
        for name in &function.messages {
            assert!(
                messages.iter().any(|message| message.name == *name),
                "{}: {name}",
                function.name
            );
        }
    }
}
