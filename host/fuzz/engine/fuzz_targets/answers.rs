#![no_main]

tidegate_fuzz_engine::fuzz!("answers");
