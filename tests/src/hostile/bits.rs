//! FPGA images that stand for real ones: their headers as the tools write them, a few bytes in place of the frames.

/// Lattice ECP5, with this USERCODE and its CRC, as ecppack 1.4 wrote it.
pub fn lattice() -> Vec<u8> {
    let mut image =
        b"\xFF\x00Part: LFE5UM5G-45F-8CABGA381\0\xFF\xFF\xFF\xBD\xB3\xFF\xFF\xFF\xFF".to_vec();
    image.extend(
        b"\x3B\0\0\0\xE2\0\0\0\x81\x11\x20\x43\x22\0\0\0\x40\0\0\0\x46\0\0\0\x82\x91\x24\xFE",
    );
    image.extend([0; 64]);
    image.extend(b"\xFF\xC2\x80\0\0\x52\x48\0\x01\x65\x35\x5E\0\0\0\xFF\xFF\xFF\xFF");
    image
}

/// Xilinx 7 series.
pub fn xilinx() -> Vec<u8> {
    let mut image = vec![
        0, 9, 0x0F, 0xF0, 0x0F, 0xF0, 0x0F, 0xF0, 0x0F, 0xF0, 0, 0, 1,
    ];
    for text in [
        "atop;UserID=0XFFFFFFFF",
        "b7a200tfbg484",
        "c2026/11/27",
        "d02:50:00",
    ] {
        let (key, text) = text.split_at(1);
        image.extend(key.bytes());
        image.extend((text.len() as u16 + 1).to_be_bytes());
        image.extend(text.bytes());
        image.push(0);
    }
    let words = [
        0xFFFF_FFFFu32,
        0xAA99_5566,
        0x2000_0000,
        0x3001_A001,
        0x5248_0001,
        0x3001_8001,
        0x1363_6093,
        0x3000_4001,
        0,
    ];
    image.push(b'e');
    image.extend((4 * words.len() as u32).to_be_bytes());
    image.extend(words.into_iter().flat_map(u32::to_be_bytes));
    image
}
