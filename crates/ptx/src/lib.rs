//! PTX: lexer, parser, typed IR and verifier.
