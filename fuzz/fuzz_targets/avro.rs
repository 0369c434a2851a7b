#![no_main]
libfuzzer_sys::fuzz_target!(init: hookline_fuzz::watch(), |bytes: &[u8]| hookline_fuzz::entries::avro(bytes));
