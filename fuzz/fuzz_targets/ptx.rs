//! PTX text: parsed, every body, linked with itself, printed and parsed again.
#![no_main]

use libfuzzer_sys::fuzz_target;
use tessera_ptx::{link, parse_module, print_module, verify};

fuzz_target!(|bytes: &[u8]| {
    let Ok(module) = parse_module(bytes) else { return };
    for (id, _) in module.funcs.iter() {
        let _ = module.body(id);
    }
    let legal = verify::verify_all(&module).is_ok();
    if legal && let Ok(text) = print_module(&module) {
        // What is printed is what was read. A text can use names that the printer gives registers and labels of its
        // own, so the second text need not parse; when it does, it prints as the same.
        if let Ok(again) = parse_module(text.clone().into_bytes())
            && let Ok(twice) = print_module(&again)
        {
            assert_eq!(text, twice);
        }
    }
    let same = parse_module(bytes).expect("it parsed before");
    if let Ok(linked) = link(vec![module, same], &["vprintf"]) {
        let _ = verify::verify_module(&linked);
        for (id, _) in linked.funcs.iter() {
            let _ = linked.body(id);
        }
    }
});
