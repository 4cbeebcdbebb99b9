//! The kernel that runs a litmus test many times.
//!
//! Its threads meet before each round, by counting in memory, and wait a little that is different in every round and thread;
//! then each does its part on locations that belong to this round and lane alone.

use std::fmt::Write;

use crate::parse::{Step, Test, Value};

/// Where the threads of a test are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Place {
    Lanes,
    Warps,
    Blocks,
}

/// One way to run a test.
#[derive(Debug, Clone)]
pub(crate) struct Shape {
    pub(crate) place: Place,
    pub(crate) scope: String,
    /// Bits of an access.
    pub(crate) width: u32,
    /// Instances of the test side by side.
    pub(crate) lanes: u32,
    pub(crate) blocks: u32,
    pub(crate) threads: u32,
}

/// Every way to run a test. Threads of different blocks are not in each other's `.cta` scope.
pub(crate) fn shapes(test: &Test) -> Vec<Shape> {
    let mut all = Vec::new();
    let roles = u32::try_from(test.threads.len()).expect("few threads");
    for scope in &test.scopes {
        for &width in &test.widths {
            for place in [Place::Lanes, Place::Warps, Place::Blocks] {
                let (lanes, blocks, threads) = match place {
                    Place::Lanes => (32 / roles, 1, 32),
                    Place::Warps => (32, 1, 32 * roles),
                    Place::Blocks => (32, roles, 32),
                };
                if place != Place::Blocks || scope != "cta" {
                    all.push(Shape {
                        place,
                        scope: scope.clone(),
                        width,
                        lanes,
                        blocks,
                        threads,
                    });
                }
            }
        }
    }
    all
}

/// The module. Parameters of its entry `litmus`: locations, results, counters of meetings, number of rounds.
pub(crate) fn text(test: &Test, shape: &Shape, instances: usize) -> String {
    let roles = test.threads.len();
    let mut out = format!(
        ".version 8.8\n.target sm_90\n.address_size 64\n\
         .visible .entry litmus(.param .u64 l_, .param .u64 r_, .param .u64 m_, .param .u32 n_)\n{{\n\
         .reg .b32 %role, %lane, %i, %n, %k, %t, %c, %h, %r<{}>;\n\
         .reg .b64 %l, %res, %m, %s, %x, %y, %a<{}>;\n\
         .reg .b128 %q;\n.reg .pred %p, %first;\n\
         ld.param.u64 %l, [l_];\nld.param.u64 %res, [r_];\nld.param.u64 %m, [m_];\nld.param.u32 %n, [n_];\n",
        test.registers.len().max(1),
        test.locations.len(),
    );
    match shape.place {
        Place::Lanes => {
            _ = write!(
                out,
                "mov.u32 %t, %tid.x;\nrem.u32 %role, %t, {roles};\ndiv.u32 %lane, %t, {roles};\n"
            );
        }
        Place::Warps => out.push_str("mov.u32 %t, %tid.x;\nshr.u32 %role, %t, 5;\nand.b32 %lane, %t, 31;\n"),
        Place::Blocks => out.push_str("mov.u32 %role, %ctaid.x;\nmov.u32 %lane, %tid.x;\n"),
    }
    // Lanes that are left over have no part.
    _ = writeln!(out, "setp.ge.u32 %p, %lane, {};\n@%p ret;", shape.lanes);
    out.push_str("setp.eq.u32 %first, %lane, 0;\nmov.u32 %i, 0;\n");
    for role in 0..roles {
        _ = writeln!(out, "setp.eq.u32 %p, %role, {role};\n@%p bra NEXT{role};");
    }
    out.push_str("ret;\n");
    for (role, steps) in test.threads.iter().enumerate() {
        part(&mut out, test, shape, (role, steps), instances);
    }
    out.push_str("}\n");
    out
}

/// What one thread of the test does in all rounds.
fn part(out: &mut String, test: &Test, shape: &Shape, (role, steps): (usize, &[Step]), instances: usize) {
    let (roles, bytes) = (test.threads.len(), shape.width / 8);
    // Two blocks run side by side, so that it is worth to wait; of more some have to give way.
    let patience = if shape.place == Place::Blocks && roles == 2 {
        1000
    } else {
        300
    };
    _ = write!(
        out,
        "NEXT{role}:\nmad.wide.u32 %s, %i, 4, %m;\n@%first red.relaxed.sys.global.add.u32 [%s], 1;\nmov.u32 %c, 0;\n\
         MEET{role}:\nld.relaxed.sys.global.u32 %t, [%s];\nsetp.ge.u32 %p, %t, {roles};\n@%p bra GO{role};\n\
         add.u32 %c, %c, 1;\nsetp.lt.u32 %p, %c, {patience};\n@%p bra MEET{role};\nmov.u32 %c, 0;\nnanosleep.u32 20;\nbra MEET{role};\n\
         GO{role}:\nmad.lo.u32 %c, %i, {}, {role};\nand.b32 %c, %c, 7;\n\
         DELAY{role}:\nsub.u32 %c, %c, 1;\nsetp.gt.s32 %p, %c, 0;\n@%p bra DELAY{role};\n\
         mad.lo.u32 %k, %i, {}, %lane;\nmad.wide.u32 %a0, %k, {bytes}, %l;\n",
        2 * role + 3,
        shape.lanes,
    );
    for location in 1..test.locations.len() {
        _ = writeln!(
            out,
            "add.u64 %a{location}, %a0, {};",
            location * instances * bytes as usize
        );
    }
    for step in steps {
        instruction(out, shape, step);
    }
    out.push_str("mad.wide.u32 %s, %k, 4, %res;\n");
    for step in steps {
        if let Step::Load { register: r, .. }
        | Step::Atomic {
            register: Some(r), ..
        } = step
        {
            _ = writeln!(out, "st.global.u32 [%s+{}], %r{r};", r * instances * 4);
        }
    }
    _ = write!(
        out,
        "add.u32 %i, %i, 1;\nsetp.lt.u32 %p, %i, %n;\n@%p bra NEXT{role};\nret;\n"
    );
}

fn operand(value: Value) -> String {
    match value {
        Value::Number(n) => n.to_string(),
        Value::Register(r) => format!("%r{r}"),
    }
}

fn instruction(out: &mut String, shape: &Shape, step: &Step) {
    let scoped = |op: &str| op.replace("SCOPE", &shape.scope);
    match step {
        Step::Fence(op) => _ = writeln!(out, "{};", scoped(op)),
        Step::Store { op, location, value } => {
            let (op, value) = (scoped(op), operand(*value));
            _ = match shape.width {
                32 => writeln!(out, "{op}.global.u32 [%a{location}], {value};"),
                64 => writeln!(
                    out,
                    "mov.u32 %t, {value};\nmov.b64 %x, {{%t, %t}};\n{op}.global.u64 [%a{location}], %x;"
                ),
                _ => writeln!(
                    out,
                    "mov.u32 %t, {value};\nmov.b64 %x, {{%t, %t}};\nmov.b128 %q, {{%x, %x}};\n{op}.global.b128 [%a{location}], %q;"
                ),
            };
        }
        Step::Load {
            op,
            location,
            register: r,
        } => {
            let op = scoped(op);
            // Parts that do not belong together give a value that nobody stores.
            let unpack =
                format!("mov.b64 {{%r{r}, %h}}, %x;\nsetp.ne.u32 %p, %r{r}, %h;\n@%p mov.u32 %r{r}, 0xdead;");
            _ = match shape.width {
                32 => writeln!(out, "{op}.global.u32 %r{r}, [%a{location}];"),
                64 => writeln!(out, "{op}.global.u64 %x, [%a{location}];\n{unpack}"),
                _ => writeln!(
                    out,
                    "{op}.global.b128 %q, [%a{location}];\nmov.b128 {{%x, %y}}, %q;\n{unpack}\n\
                     setp.ne.u64 %p, %x, %y;\n@%p mov.u32 %r{r}, 0xdead;"
                ),
            };
        }
        Step::Atomic {
            op,
            location,
            values,
            register,
        } => {
            let bits = [".exch", ".cas", ".and", ".or", ".xor"]
                .iter()
                .any(|kind| op.contains(kind));
            let ty = if bits { "b32" } else { "u32" };
            let values: Vec<String> = values.iter().map(|v| operand(*v)).collect();
            let d = register.map_or_else(String::new, |r| format!("%r{r}, "));
            _ = writeln!(
                out,
                "{}.global.{ty} {d}[%a{location}], {};",
                scoped(op),
                values.join(", ")
            );
        }
    }
}
