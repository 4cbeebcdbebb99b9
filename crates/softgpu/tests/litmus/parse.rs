//! The files of litmus tests; `README.md` describes them.

/// An instruction of a thread.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Step {
    /// As PTX has it, without space and type.
    Store {
        op: String,
        location: usize,
        value: Value,
    },
    /// Into a register.
    Load {
        op: String,
        location: usize,
        register: usize,
    },
    /// Operands; the old value goes to a register if there is one.
    Atomic {
        op: String,
        location: usize,
        values: Vec<Value>,
        register: Option<usize>,
    },
    /// A whole instruction.
    Fence(String),
}

/// What is stored.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Value {
    Number(u32),
    /// What an earlier load of the thread got.
    Register(usize),
}

/// A conjunction of final values of registers and locations.
pub(crate) type Outcome = Vec<(String, u32)>;

/// A test.
#[derive(Debug, Clone, Default)]
pub(crate) struct Test {
    pub(crate) scopes: Vec<String>,
    pub(crate) widths: Vec<u32>,
    pub(crate) threads: Vec<Vec<Step>>,
    pub(crate) registers: Vec<String>,
    pub(crate) locations: Vec<String>,
    pub(crate) forbidden: Vec<Outcome>,
    pub(crate) weak: Vec<Outcome>,
    /// Zero and everything that is stored, and sums with what is added.
    pub(crate) values: Vec<u32>,
}

/// Place of a name in a list, which it is added to.
fn place(names: &mut Vec<String>, name: &str) -> usize {
    match names.iter().position(|n| n == name) {
        Some(at) => at,
        None => {
            names.push(name.to_owned());
            names.len() - 1
        }
    }
}

fn is_register(word: &str) -> bool {
    word.strip_prefix('r').is_some_and(|n| n.parse::<u32>().is_ok())
}

impl Test {
    fn value(&mut self, word: &str) -> Result<Value, String> {
        if is_register(word) {
            return Ok(Value::Register(place(&mut self.registers, word)));
        }
        let number = word.parse().map_err(|_| format!("`{word}` is not a value"))?;
        self.values.push(number);
        Ok(Value::Number(number))
    }

    fn step(&mut self, line: &str) -> Result<Step, String> {
        let words: Vec<&str> = line.split_whitespace().collect();
        let op = words[0].to_owned();
        let kind = op.split('.').next().unwrap_or_default();
        if kind == "fence" || kind == "membar" {
            return Ok(Step::Fence(op));
        }
        let name = words.get(1).ok_or(format!("`{line}` needs a location"))?;
        let location = place(&mut self.locations, name);
        match (kind, &words[2..]) {
            ("st", [value]) => Ok(Step::Store {
                value: self.value(value)?,
                op,
                location,
            }),
            ("ld", [register]) if is_register(register) => Ok(Step::Load {
                register: place(&mut self.registers, register),
                op,
                location,
            }),
            ("atom", [values @ .., register]) if is_register(register) => {
                let values = values.iter().map(|v| self.value(v)).collect::<Result<_, _>>()?;
                let register = Some(place(&mut self.registers, register));
                Ok(Step::Atomic {
                    op,
                    location,
                    values,
                    register,
                })
            }
            ("red", values) => {
                let values = values.iter().map(|v| self.value(v)).collect::<Result<_, _>>()?;
                Ok(Step::Atomic {
                    op,
                    location,
                    values,
                    register: None,
                })
            }
            _ => Err(format!("what is `{line}`?")),
        }
    }

    /// `r0=1 x=2`
    fn outcome(&self, text: &str) -> Result<Outcome, String> {
        let one = |part: &str| {
            let (name, value) = part
                .split_once('=')
                .ok_or(format!("`{part}` is not NAME=VALUE"))?;
            let known = self.registers.iter().chain(&self.locations).any(|n| n == name);
            let value = value.parse().map_err(|_| format!("`{value}` is not a number"))?;
            if known {
                Ok((name.to_owned(), value))
            } else {
                Err(format!("no thread uses `{name}`"))
            }
        };
        text.split_whitespace().map(one).collect()
    }
}

/// Reads a file.
pub(crate) fn parse(text: &str) -> Result<Test, String> {
    let mut test = Test {
        values: vec![0],
        ..Test::default()
    };
    let words = |rest: &str| rest.split_whitespace().map(str::to_owned).collect::<Vec<_>>();
    for (n, line) in text.lines().enumerate() {
        let line = line.split("//").next().unwrap_or_default();
        let (first, rest) = line.trim().split_once(' ').unwrap_or((line.trim(), ""));
        let result = match first {
            "" => Ok(()),
            "scopes" => {
                test.scopes = words(rest);
                Ok(())
            }
            "width" => rest
                .split_whitespace()
                .map(|w| w.parse().map_err(|_| format!("`{w}` is not a width")))
                .collect::<Result<_, _>>()
                .map(|widths| test.widths = widths),
            "thread" => {
                test.threads.push(Vec::new());
                Ok(())
            }
            "forbidden" => test.outcome(rest).map(|o| test.forbidden.push(o)),
            "weak" => test.outcome(rest).map(|o| test.weak.push(o)),
            _ => test.step(line.trim()).and_then(|step| {
                let thread = test
                    .threads
                    .last_mut()
                    .ok_or("an instruction before any thread")?;
                thread.push(step);
                Ok(())
            }),
        };
        result.map_err(|e| format!("line {}: {e}", n + 1))?;
    }
    let steps = test.threads.iter().flatten();
    let added = steps.filter_map(|step| match step {
        Step::Atomic { op, values, .. } if op.contains(".add") => Some(values.clone()),
        _ => None,
    });
    for value in added.flatten() {
        if let Value::Number(n) = value {
            let sums: Vec<u32> = test.values.iter().map(|v| v + n).collect();
            test.values.extend(sums);
        }
    }
    if test.widths.is_empty() {
        test.widths.push(32);
    }
    if test.threads.is_empty() || test.scopes.is_empty() {
        return Err("threads and scopes are needed".to_owned());
    }
    if test.forbidden.is_empty() && test.weak.is_empty() {
        return Err("nothing is asked".to_owned());
    }
    Ok(test)
}
