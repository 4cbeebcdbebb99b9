//! What `ptxas` says on standard error, line by line in the vendor's form, which build systems and frameworks read.
//!
//! ```text
//!  ptxas FILE, line N; error   : TEXT        about a place
//!  ptxas error   : TEXT                      about no place; also `warning :`, `info    :`, `fatal   :`
//! ```

/// An end of the work. The text is said as `fatal`.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Fatal(pub(super) String);

/// Where something is.
#[derive(Clone, Copy)]
pub(super) struct At<'a> {
    pub(super) file: &'a str,
    pub(super) line: u32,
}

/// What was said.
#[derive(Default)]
pub(super) struct Says {
    silent: bool,
    strict: bool,
    /// Errors so far.
    pub(super) errors: usize,
    /// The lines, to be printed at the end.
    pub(super) lines: Vec<String>,
}

impl Says {
    /// Whether warnings are left out, and whether they are errors.
    pub(super) fn configure(&mut self, silent: bool, strict: bool) {
        (self.silent, self.strict) = (silent, strict);
    }

    fn say(&mut self, at: Option<At<'_>>, severity: &str, text: &str) {
        self.lines.push(match at {
            Some(At { file, line }) => format!("ptxas {file}, line {line}; {severity:7} : {text}"),
            None => format!("ptxas {severity:7} : {text}"),
        });
    }

    pub(super) fn error(&mut self, at: Option<At<'_>>, text: &str) {
        self.errors += 1;
        self.say(at, "error", text);
    }

    pub(super) fn fatal(&mut self, at: Option<At<'_>>, text: &str) {
        self.errors += 1;
        self.say(at, "fatal", text);
    }

    pub(super) fn warning(&mut self, text: &str) {
        self.warning_at(None, text);
    }

    pub(super) fn warning_at(&mut self, at: Option<At<'_>>, text: &str) {
        match (self.strict, self.silent) {
            (true, _) => self.error(at, text),
            (false, true) => {}
            (false, false) => self.say(at, "warning", text),
        }
    }

    pub(super) fn info(&mut self, text: &str) {
        self.say(None, "info", text);
    }

    /// A line that continues the one before.
    pub(super) fn more(&mut self, text: &str) {
        self.lines.push(format!("    {text}"));
    }
}
