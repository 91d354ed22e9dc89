use abi::config::{SIM, TINY, VERSA};
fn emit(name: &str, unit: &dyn rust_hdl_core::prelude::Block) {
    let text = hdl::verilog(unit, name, &SIM).expect("emit");
    std::fs::create_dir_all("target/verilog/units").unwrap();
    let path = format!("target/verilog/units/{name}.v");
    if std::fs::read_to_string(&path).ok().as_deref() != Some(&text) {
        std::fs::write(path, text).unwrap();
    }
}
fn main() {
    let worker = std::thread::Builder::new().stack_size(256 << 20).spawn(|| {
        for name in std::env::args().skip(1) {
            let _ = (&TINY, &VERSA);
            match name.as_str() {
                "command" => emit(&name, &*Box::new(hdl::command::Command::new(&SIM))),
                "regs" => emit(&name, &*Box::new(hdl::regs::Regs::default())),
                "counters" => emit(&name, &*Box::new(hdl::counters::Counters::default())),
                "axi_writer" => emit(&name, &*Box::new(hdl::axi_writer::AxiWriter::default())),
                "axi_reader" => emit(&name, &*Box::new(hdl::axi_reader::AxiReader::default())),
                "axi_read_mux" => emit(&name, &*Box::new(hdl::axi_read_mux::AxiReadMux::default())),
                "axi_write_mux" => emit(
                    &name,
                    &*Box::new(hdl::axi_write_mux::AxiWriteMux::default()),
                ),
                _ => panic!("{name}"),
            }
        }
    });
    worker.unwrap().join().unwrap();
}
