//! The call graph of a kernel: which functions are inlined at their calls, and which get blocks of their own.
//!
//! A function gets blocks of its own (it is *outlined*) when it can be called while it runs, when it is called through its
//! address, or when inlining it at every call would make the kernel too large. All others are inlined, which costs nothing when they run.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use tessera_ptx::module::Symbol;
use tessera_ptx::{Body, FuncId, FuncKind, Inst, Module, Opcode, Operand, Param, Table};

/// Instructions of a kernel up to which everything is inlined that can be.
const INLINED: u64 = 100_000;
/// What a function called from several places may have, inlined itself, when a kernel has more than that: tried one after the other.
const STEPS: [u64; 4] = [u64::MAX, 10_000, 1_000, 100];
/// Depth of inlined calls.
const DEPTH: u32 = 32;
/// What a call of an outlined function counts for.
const CALL: u64 = 10;

/// What a call and a function must agree in: the sizes of parameters and of return values. An unsized parameter has 0.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) struct Signature {
    pub(super) rets: Vec<u32>,
    pub(super) params: Vec<u32>,
}

impl Signature {
    pub(super) fn new(rets: &[Param], params: &[Param]) -> Self {
        let sizes = |list: &[Param]| list.iter().map(|p| p.size).collect();
        Self {
            rets: sizes(rets),
            params: sizes(params),
        }
    }
}

/// The function behind an alias.
pub(super) fn resolve(module: &Module, mut func: FuncId) -> FuncId {
    for _ in 0..8 {
        match module.funcs.get(func).and_then(|f| f.alias_of) {
            Some(target) => func = target,
            None => break,
        }
    }
    func
}

/// Return values and parameters that an indirect call names.
pub(super) fn prototype<'m>(
    module: &'m Module,
    body: &'m Body,
    inst: &Inst,
) -> Option<(&'m [Param], &'m [Param])> {
    match inst.operands.get(3)? {
        Operand::Proto(id) => body.protos.get(*id).map(|p| (&p.rets[..], &p.params[..])),
        Operand::Table(id) => match body.tables.get(*id)? {
            Table::Call(targets) => {
                let func = module.funcs.get(*targets.first()?)?;
                Some((&func.rets[..], &func.params[..]))
            }
            Table::Branch(_) => None,
        },
        _ => None,
    }
}

/// How the calls of a kernel are carried out.
#[derive(Default)]
pub(super) struct Plan {
    outlined: BTreeSet<FuncId>,
    /// Number of its cycle, for functions that can be called while they run.
    cycles: BTreeMap<FuncId, usize>,
    /// Functions whose address is taken somewhere in the module; looked for when something is called through an address.
    addressed: Option<Vec<FuncId>>,
}

struct Node {
    func: FuncId,
    size: u64,
    /// Called by name, once per call.
    calls: Vec<usize>,
    /// May be called through an address.
    indirect: Vec<usize>,
}

impl Plan {
    pub(super) fn new(module: &Module, entry: FuncId) -> Self {
        let mut plan = Self::default();
        let nodes = plan.reach(module, entry);
        if nodes.len() < 2 {
            return plan;
        }
        let order = plan.cycles(&nodes);
        for n in nodes.iter().flat_map(|node| &node.indirect) {
            plan.outlined.insert(nodes[*n].func);
        }
        plan.bound(&nodes, &order);
        plan
    }

    /// It has blocks of its own.
    pub(super) fn outlined(&self, func: FuncId) -> bool {
        self.outlined.contains(&func)
    }

    /// It can be called while it runs.
    pub(super) fn recursive(&self, func: FuncId) -> bool {
        self.cycles.contains_key(&func)
    }

    /// A call of `callee` by `caller` can come back to `caller` before it returns.
    pub(super) fn reenters(&self, caller: FuncId, callee: FuncId) -> bool {
        let cycle = self.cycles.get(&caller);
        cycle.is_some() && cycle == self.cycles.get(&callee)
    }

    /// What an indirect call may reach.
    pub(super) fn candidates(&mut self, module: &Module, body: &Body, inst: &Inst) -> Vec<FuncId> {
        let defined = |f: &FuncId| module.funcs.get(*f).is_some_and(|f| f.defined);
        if let Some(Operand::Table(id)) = inst.operands.get(3)
            && let Some(Table::Call(targets)) = body.tables.get(*id)
        {
            let mut all: Vec<_> = targets
                .iter()
                .map(|f| resolve(module, *f))
                .filter(defined)
                .collect();
            all.sort_unstable();
            all.dedup();
            return all;
        }
        let Some((rets, params)) = prototype(module, body, inst) else {
            return Vec::new();
        };
        let wanted = Signature::new(rets, params);
        let fits = |f: &FuncId| {
            let f = &module.funcs[*f];
            Signature::new(&f.rets, &f.params) == wanted
        };
        self.addressed
            .get_or_insert_with(|| addressed(module))
            .iter()
            .copied()
            .filter(fits)
            .collect()
    }

    /// The functions that the kernel can reach; the kernel is the first one. Bodies that are no valid PTX are empty here:
    /// lowering says what is wrong with them.
    fn reach(&mut self, module: &Module, entry: FuncId) -> Vec<Node> {
        let mut number = HashMap::from([(entry, 0usize)]);
        let mut funcs = vec![entry];
        let mut nodes = Vec::new();
        while let Some(&func) = funcs.get(nodes.len()) {
            let mut node = Node {
                func,
                size: 0,
                calls: Vec::new(),
                indirect: Vec::new(),
            };
            let mut intern = |f: FuncId| {
                *number.entry(f).or_insert_with(|| {
                    funcs.push(f);
                    funcs.len() - 1
                })
            };
            if let Ok(body) = module.body(func) {
                node.size = body.insts.len() as u64;
                for (_, inst) in body.insts.iter().filter(|(_, inst)| inst.op == Opcode::Call) {
                    if let Some(Operand::Sym {
                        symbol: Symbol::Func(callee),
                        ..
                    }) = inst.operands.get(1)
                    {
                        let callee = resolve(module, *callee);
                        if module.funcs.get(callee).is_some_and(|f| f.defined) {
                            node.calls.push(intern(callee));
                        }
                    } else {
                        let found = self.candidates(module, body, inst);
                        node.indirect.extend(found.into_iter().map(&mut intern));
                    }
                }
            }
            nodes.push(node);
        }
        nodes
    }

    /// Finds the cycles (Tarjan) and outlines what is in them. Returns the nodes, callees before callers.
    fn cycles(&mut self, nodes: &[Node]) -> Vec<usize> {
        const NEW: usize = usize::MAX;
        let next = |n: usize, at: usize| {
            let Node { calls, indirect, .. } = &nodes[n];
            calls.iter().chain(indirect).nth(at).copied()
        };
        let (mut index, mut low) = (vec![NEW; nodes.len()], vec![0; nodes.len()]);
        let mut on_path = vec![false; nodes.len()];
        let (mut path, mut order, mut count) = (Vec::new(), Vec::new(), 0);
        let mut work = vec![(0usize, 0usize)];
        while let Some((n, at)) = work.last_mut() {
            let n = *n;
            if *at == 0 && index[n] == NEW {
                (index[n], low[n]) = (count, count);
                count += 1;
                path.push(n);
                on_path[n] = true;
            }
            if let Some(to) = next(n, *at) {
                *at += 1;
                if index[to] == NEW {
                    work.push((to, 0));
                } else if on_path[to] {
                    low[n] = low[n].min(index[to]);
                }
                continue;
            }
            work.pop();
            if let Some((caller, _)) = work.last() {
                low[*caller] = low[*caller].min(low[n]);
            }
            if low[n] == index[n] {
                let from = path.iter().position(|&m| m == n).unwrap_or(0);
                let members = path.split_off(from);
                let itself = next_is(&nodes[n], n);
                for &m in &members {
                    on_path[m] = false;
                    if members.len() > 1 || itself {
                        self.cycles.insert(nodes[m].func, n);
                        self.outlined.insert(nodes[m].func);
                    }
                }
                order.extend(members);
            }
        }
        order
    }

    /// Outlines what would make the kernel too deep or too large.
    fn bound(&mut self, nodes: &[Node], order: &[usize]) {
        let mut callers = vec![0u32; nodes.len()];
        for n in nodes.iter().flat_map(|node| &node.calls) {
            callers[*n] = callers[*n].saturating_add(1);
        }
        for step in STEPS {
            let (mut total, mut depth) = (vec![0u64; nodes.len()], vec![0u32; nodes.len()]);
            for &n in order {
                let node = &nodes[n];
                total[n] = node.size;
                for &callee in &node.calls {
                    if self.outlined(nodes[callee].func) {
                        total[n] = total[n].saturating_add(CALL);
                    } else {
                        total[n] = total[n].saturating_add(total[callee]);
                        depth[n] = depth[n].max(depth[callee] + 1);
                    }
                }
                if n != 0 && (depth[n] >= DEPTH || total[n] > step && callers[n] > 1) {
                    self.outlined.insert(node.func);
                }
            }
            if total[0] <= INLINED {
                return;
            }
        }
    }
}

fn next_is(node: &Node, n: usize) -> bool {
    node.calls.contains(&n) || node.indirect.contains(&n)
}

/// Functions of the module whose address is taken: in a body (also of another kernel, which may hand it on through memory) or in the initial
/// value of a variable.
fn addressed(module: &Module) -> Vec<FuncId> {
    let mut found = BTreeSet::new();
    for (_, var) in module.vars.iter() {
        for r in var.init.iter().flat_map(|init| &init.relocations) {
            if let Symbol::Func(f) = r.target {
                found.insert(resolve(module, f));
            }
        }
    }
    for (id, func) in module.funcs.iter() {
        let body = if func.defined { module.body(id).ok() } else { None };
        for (_, inst) in body.iter().flat_map(|body| body.insts.iter()) {
            for (n, operand) in inst.operands.iter().enumerate() {
                if inst.op != Opcode::Call || n != 1 {
                    taken(operand, &mut |f| {
                        found.insert(resolve(module, f));
                    });
                }
            }
        }
    }
    let callable = |f: &FuncId| {
        let func = module.funcs.get(*f);
        func.is_some_and(|f| f.defined && f.kind == FuncKind::Func)
    };
    found.into_iter().filter(callable).collect()
}

fn taken(operand: &Operand, visit: &mut dyn FnMut(FuncId)) {
    match operand {
        Operand::Sym {
            symbol: Symbol::Func(f),
            ..
        } => visit(*f),
        Operand::List(parts) | Operand::Vec(parts) => parts.iter().for_each(|part| taken(part, visit)),
        _ => {}
    }
}
