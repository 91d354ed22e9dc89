fn main() {
    let rows = system_tests::bench::dma::measure().unwrap();
    let mut s = String::new();
    system_tests::bench::dma::section(&mut s, &rows).unwrap();
    println!("{s}");
}
