//! Opcodes: every mnemonic of the PTX ISA up to 9.x.
//!
//! Where a family has members with operands of their own (`mbarrier.init`, `cp.async.bulk`, `bar.red`), each member is
//! an opcode; what only varies types or behaviour (`mul.wide`, `shfl.up`, `vote.any`) is a modifier.

use crate::spelled::spelled;

spelled! {
    /// A mnemonic. The spelling includes the dotted parts that belong to the name, like `cp.async.bulk`.
    Opcode {
        Abs = "abs", Activemask = "activemask", Add = "add", Addc = "addc", Alloca = "alloca", And = "and",
        Applypriority = "applypriority", Atom = "atom", BarArrive = "bar.arrive", BarRed = "bar.red",
        BarSync = "bar.sync", BarWarp = "bar.warp", BarrierArrive = "barrier.arrive",
        BarrierClusterArrive = "barrier.cluster.arrive", BarrierClusterWait = "barrier.cluster.wait",
        BarrierRed = "barrier.red", BarrierSync = "barrier.sync", Bfe = "bfe", Bfi = "bfi",
        Bfind = "bfind", Bmsk = "bmsk", Bra = "bra", Brev = "brev", Brkpt = "brkpt", BrxIdx = "brx.idx",
        Call = "call", ClusterlaunchcontrolQueryCancel = "clusterlaunchcontrol.query_cancel",
        ClusterlaunchcontrolTryCancel = "clusterlaunchcontrol.try_cancel", Clz = "clz", Cnot = "cnot",
        Copysign = "copysign", Cos = "cos", CpAsync = "cp.async", CpAsyncBulk = "cp.async.bulk",
        CpAsyncBulkCommitGroup = "cp.async.bulk.commit_group",
        CpAsyncBulkPrefetch = "cp.async.bulk.prefetch",
        CpAsyncBulkPrefetchTensor = "cp.async.bulk.prefetch.tensor",
        CpAsyncBulkTensor = "cp.async.bulk.tensor", CpAsyncBulkWaitGroup = "cp.async.bulk.wait_group",
        CpAsyncCommitGroup = "cp.async.commit_group", CpAsyncMbarrierArrive = "cp.async.mbarrier.arrive",
        CpAsyncWaitAll = "cp.async.wait_all", CpAsyncWaitGroup = "cp.async.wait_group",
        CpReduceAsyncBulk = "cp.reduce.async.bulk",
        CpReduceAsyncBulkTensor = "cp.reduce.async.bulk.tensor", Createpolicy = "createpolicy",
        Cvt = "cvt", CvtPack = "cvt.pack", Cvta = "cvta", Discard = "discard", Div = "div", Dp2a = "dp2a",
        Dp4a = "dp4a", Elect = "elect", Ex2 = "ex2", Exit = "exit", Fence = "fence",
        FenceMbarrierInit = "fence.mbarrier_init", FenceProxy = "fence.proxy", Fma = "fma", Fns = "fns",
        Getctarank = "getctarank", GriddepcontrolLaunchDependents = "griddepcontrol.launch_dependents",
        GriddepcontrolWait = "griddepcontrol.wait", Isspacep = "isspacep", Istypep = "istypep", Ld = "ld",
        Ldmatrix = "ldmatrix", Ldu = "ldu", Lg2 = "lg2", Lop3 = "lop3", Mad = "mad", Mad24 = "mad24",
        Madc = "madc", Mapa = "mapa", Match = "match", Max = "max", MbarrierArrive = "mbarrier.arrive",
        MbarrierArriveDrop = "mbarrier.arrive_drop", MbarrierCompleteTx = "mbarrier.complete_tx",
        MbarrierExpectTx = "mbarrier.expect_tx", MbarrierInit = "mbarrier.init",
        MbarrierInval = "mbarrier.inval", MbarrierPendingCount = "mbarrier.pending_count",
        MbarrierTestWait = "mbarrier.test_wait", MbarrierTryWait = "mbarrier.try_wait", Membar = "membar", MembarProxy = "membar.proxy",
        Min = "min", Mma = "mma", Mov = "mov", Movmatrix = "movmatrix", Mul = "mul", Mul24 = "mul24",
        MultimemCpAsyncBulk = "multimem.cp.async.bulk",
        MultimemCpReduceAsyncBulk = "multimem.cp.reduce.async.bulk",
        MultimemLdReduce = "multimem.ld_reduce", MultimemRed = "multimem.red", MultimemSt = "multimem.st",
        Nanosleep = "nanosleep", Neg = "neg", Not = "not", Or = "or", Pmevent = "pmevent", Popc = "popc",
        Prefetch = "prefetch", Prefetchu = "prefetchu", Prmt = "prmt", Rcp = "rcp", Red = "red",
        RedAsync = "red.async", Redux = "redux", Rem = "rem", Ret = "ret", Rsqrt = "rsqrt", Sad = "sad",
        Selp = "selp", Set = "set", Setmaxnreg = "setmaxnreg", Setp = "setp", Shf = "shf", Shfl = "shfl",
        Shl = "shl", Shr = "shr", Sin = "sin", Slct = "slct", Sqrt = "sqrt", St = "st",
        StAsync = "st.async", StBulk = "st.bulk", Stackrestore = "stackrestore", Stacksave = "stacksave",
        Stmatrix = "stmatrix", Sub = "sub", Subc = "subc", Suld = "suld", Suq = "suq", Sured = "sured",
        Sust = "sust", Szext = "szext", Tanh = "tanh", Tcgen05Alloc = "tcgen05.alloc",
        Tcgen05Commit = "tcgen05.commit", Tcgen05Cp = "tcgen05.cp", Tcgen05Dealloc = "tcgen05.dealloc",
        Tcgen05FenceAfter = "tcgen05.fence::after_thread_sync", Tcgen05FenceBefore = "tcgen05.fence::before_thread_sync", Tcgen05Ld = "tcgen05.ld", Tcgen05LdRed = "tcgen05.ld.red",
        Tcgen05Mma = "tcgen05.mma", Tcgen05MmaSp = "tcgen05.mma.sp", Tcgen05MmaWs = "tcgen05.mma.ws",
        Tcgen05MmaWsSp = "tcgen05.mma.ws.sp",
        Tcgen05RelinquishAllocPermit = "tcgen05.relinquish_alloc_permit", Tcgen05Shift = "tcgen05.shift",
        Tcgen05St = "tcgen05.st", Tcgen05WaitLd = "tcgen05.wait::ld", Tcgen05WaitSt = "tcgen05.wait::st",
        TensormapCpFenceproxy = "tensormap.cp_fenceproxy", TensormapReplace = "tensormap.replace",
        Testp = "testp", Tex = "tex", Tld4 = "tld4", Trap = "trap", Txq = "txq", Vabsdiff = "vabsdiff",
        Vabsdiff2 = "vabsdiff2", Vabsdiff4 = "vabsdiff4", Vadd = "vadd", Vadd2 = "vadd2", Vadd4 = "vadd4",
        Vavrg2 = "vavrg2", Vavrg4 = "vavrg4", Vmad = "vmad", Vmax = "vmax", Vmax2 = "vmax2",
        Vmax4 = "vmax4", Vmin = "vmin", Vmin2 = "vmin2", Vmin4 = "vmin4", Vote = "vote", Vset = "vset",
        Vset2 = "vset2", Vset4 = "vset4", Vshl = "vshl", Vshr = "vshr", Vsub = "vsub", Vsub2 = "vsub2",
        Vsub4 = "vsub4", WgmmaCommitGroup = "wgmma.commit_group", WgmmaFence = "wgmma.fence",
        WgmmaMmaAsync = "wgmma.mma_async", WgmmaMmaAsyncSp = "wgmma.mma_async.sp",
        WgmmaWaitGroup = "wgmma.wait_group", WmmaLoad = "wmma.load", WmmaMma = "wmma.mma",
        WmmaStore = "wmma.store", Xor = "xor",
    }
}

impl Opcode {
    /// Whether control never continues with the next instruction when the guard holds.
    #[must_use]
    pub const fn is_terminator(self) -> bool {
        matches!(
            self,
            Self::Bra | Self::BrxIdx | Self::Ret | Self::Exit | Self::Trap
        )
    }
}
