//! The table of functions against the code, and against itself.

use serde::Deserialize;
use std::collections::BTreeSet;

#[derive(Deserialize)]
struct Table {
    function: Vec<Row>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Row {
    name: String,
    implemented: bool,
    per_thread: Option<String>,
    reason: Option<String>,
    last: Option<u32>,
}

impl Row {
    fn names(&self) -> Vec<String> {
        let mut names = vec![self.name.clone()];
        names.extend(
            self.per_thread
                .as_ref()
                .map(|suffix| format!("{}_{suffix}", self.name)),
        );
        names
    }
}

type Failure = Box<dyn std::error::Error>;

fn table() -> Result<Table, Failure> {
    Ok(toml::from_str(&std::fs::read_to_string("runtime-api.toml")?)?)
}

/// Names of the functions that the sources export: by themselves or through the macros of `edge`.
fn written() -> Result<BTreeSet<String>, Failure> {
    let mut names = BTreeSet::new();
    for file in std::fs::read_dir("src")? {
        let text = std::fs::read_to_string(file?.path())?;
        for line in text.lines() {
            let line = line.trim_start();
            let line = line.strip_prefix("extern \"C\" ").unwrap_or(line);
            let Some(rest) = line.strip_prefix("fn ") else {
                continue;
            };
            let Some(head) = rest.split(['(', '[']).next() else {
                continue;
            };
            names.extend(
                head.split('/')
                    .filter(|name| name.starts_with("cuda") || name.starts_with("__cuda"))
                    .map(str::to_owned),
            );
        }
    }
    Ok(names)
}

#[test]
fn the_table_says_what_the_code_implements() -> Result<(), Failure> {
    let table = table()?;
    let listed: BTreeSet<String> = table
        .function
        .iter()
        .filter(|row| row.implemented)
        .flat_map(Row::names)
        .collect();
    assert_eq!(listed, written()?);
    Ok(())
}

#[test]
fn what_is_not_implemented_says_why() -> Result<(), Failure> {
    for row in table()?.function {
        let said = row.reason.is_some_and(|reason| reason.len() > 10);
        assert_ne!(row.implemented, said, "{}", row.name);
    }
    Ok(())
}

#[test]
fn names_are_unique_and_sorted() -> Result<(), Failure> {
    let table = table()?;
    assert!(table.function.is_sorted_by(|one, next| one.name < next.name));
    let all: Vec<String> = table.function.iter().flat_map(Row::names).collect();
    assert_eq!(all.len(), all.iter().collect::<BTreeSet<_>>().len());
    Ok(())
}

#[test]
fn what_start_up_code_calls_is_implemented() -> Result<(), Failure> {
    for row in table()?
        .function
        .iter()
        .filter(|row| row.name.starts_with("__cuda") && row.last.is_none())
    {
        assert!(row.implemented, "{}", row.name);
    }
    Ok(())
}
