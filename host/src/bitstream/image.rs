//! FPGA images: what the headers of a Lattice ECP5 `.bit` and a Xilinx 7-series `.bit` say of themselves.
//!
//! ECP5: Lattice FPGA-TN-02039 (sysCONFIG); comments, preamble, then commands of a byte with three bytes of operand. The USERCODE stands
//! behind the frames, with its own CRC; the contents of block RAM follow it. 7 series: Xilinx UG470, chapter 5; fields `a` to `e`, then the
//! synchronisation word and packets. Text is told, never trusted: part and USERCODE are those of the commands.

use nom::bytes::complete::{tag, take, take_until};
use nom::combinator::eof;
use nom::number::complete::{be_u16, be_u32, u8 as byte};
use nom::IResult;

/// Which parts an image may be for: IDCODE without its version, and the name.
const PARTS: [(u32, &str); 11] = [
    (0x0111_1043, "LFE5UM-25F"),
    (0x0111_2043, "LFE5UM-45F"),
    (0x0111_3043, "LFE5UM-85F"),
    (0x4111_1043, "LFE5U-25F"),
    (0x4111_2043, "LFE5U-45F"),
    (0x4111_3043, "LFE5U-85F"),
    (0x2111_1043, "LFE5U-12F"),
    (0x8111_1043, "LFE5UM5G-25F"),
    (0x8111_2043, "LFE5UM5G-45F"),
    (0x8111_3043, "LFE5UM5G-85F"),
    (0x0363_6093, "XC7A200T"),
];
/// The version of a Xilinx part is in the top bits of its IDCODE.
const XILINX_VERSION: u32 = 0xF000_0000;
/// Comments, and what stands between the synchronisation word and the first frame, are short.
const HEAD: usize = 4096;

/// Whose format.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Family {
    /// Lattice ECP5 and ECP5-5G.
    Ecp5,
    /// Xilinx 7 series.
    Xilinx7,
}

/// What an image says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Image {
    /// Its format.
    pub family: Family,
    /// Text of the header: what made it for which part.
    pub text: String,
    /// The part that it checks for before it is taken.
    pub idcode: u32,
    /// 32 bits of the builder's choice; absent in a 7-series image that sets none.
    pub usercode: Option<u32>,
}

impl Image {
    /// The part's name, if it is one that is known.
    pub fn part(&self) -> Option<&'static str> {
        let known = PARTS.iter().find(|(id, _)| *id == self.idcode);
        known.map(|(_, name)| *name)
    }

    /// Reads an image.
    ///
    /// # Errors
    /// In words: neither format, cut off, or damaged where it says what it is.
    pub fn parse(bytes: &[u8]) -> Result<Image, String> {
        match bytes {
            [0xFF, 0x00, ..] => ecp5(bytes),
            [0x00, 0x09, ..] => xilinx(bytes),
            [] => Err("it is empty".into()),
            _ => Err(
                "it begins neither as an ECP5 image (FF 00) nor as one of the 7 series (00 09)"
                    .into(),
            ),
        }
    }
}

/// The result of a parser, or where it stopped.
fn at<'a, T>(
    what: &str,
    all: &[u8],
    result: IResult<&'a [u8], T>,
) -> Result<(&'a [u8], T), String> {
    result.map_err(|e| match e {
        nom::Err::Error(e) => format!(
            "{what} is damaged or cut off at byte {}",
            all.len() - e.input.len()
        ),
        _ => format!("{what} is cut off"),
    })
}

fn ecp5(bytes: &[u8]) -> Result<Image, String> {
    const PREAMBLE: &[u8] = &[0xFF, 0xFF, 0xBD, 0xB3];
    let (rest, _) = at("the header", bytes, tag(&[0xFF, 0x00])(bytes))?;
    let head = &rest[..rest.len().min(HEAD)];
    let (_, comments) = at(
        "the comment before the preamble",
        bytes,
        take_until(PREAMBLE)(head),
    )?;
    let text = comments
        .split(|b| *b == 0)
        .filter(|t| t.iter().all(|c| (32..127).contains(c)));
    let text: Vec<String> = text
        .map(|t| String::from_utf8_lossy(t).into())
        .filter(|t: &String| !t.is_empty())
        .collect();
    let mut rest = &rest[comments.len() + PREAMBLE.len()..];
    let mut idcode = None;
    // Up to the first frame.
    loop {
        let (next, command) = at("the list of commands", bytes, byte(rest))?;
        // Operands, and words behind them.
        let words = match command {
            // No operation.
            0xFF => {
                rest = next;
                continue;
            }
            // VERIFY_ID, control register 0.
            0xE2 | 0x22 => 4,
            // Reset CRC, initialise address.
            0x3B | 0x46 => 0,
            // Compression table.
            0x02 => 8,
            // Frames.
            0x82 | 0xB8 => break,
            other => {
                let place = bytes.len() - rest.len();
                return Err(format!(
                    "command {other:02X} at byte {place} is not known before the first frame"
                ));
            }
        };
        let (next, _) = at("a command", bytes, take(3usize)(next))?;
        let (next, operand) = at("a command", bytes, take(words as usize)(next))?;
        if command == 0xE2 {
            let (_, id) = at("the IDCODE", bytes, be_u32(operand))?;
            idcode = Some(id);
        }
        rest = next;
    }
    let idcode = idcode.ok_or("it does not check the part: no VERIFY_ID before the first frame")?;
    // How long frames are depends on the part; so the end is what can be read as one, up to the last byte.
    const USERCODE: &[u8] = &[0xFF, 0xC2, 0x80, 0x00, 0x00];
    let mut ends = rest
        .windows(USERCODE.len())
        .enumerate()
        .filter(|(_, bytes)| *bytes == USERCODE)
        .map(|(start, _)| &rest[start..]);
    let found = ends.find_map(|tail| Some((tail, ecp5_end(tail).ok()?.1)));
    let (tail, (usercode, crc)) =
        found.ok_or("its end (USERCODE, block RAM and DONE) is damaged or cut off")?;
    let found = crc16(&tail[..9]);
    if found != crc {
        return Err(format!(
            "the CRC of its USERCODE is {crc:04X}, and should be {found:04X}"
        ));
    }
    Ok(Image {
        family: Family::Ecp5,
        text: text.join(", "),
        idcode,
        usercode: Some(usercode),
    })
}

/// What follows the frames, to the last byte: PROGRAM_USERCODE with its CRC, the contents of block RAM, PROGRAM_DONE, four times FF.
fn ecp5_end(i: &[u8]) -> IResult<&[u8], (u32, u16)> {
    let (i, _) = tag(&[0xFF, 0xC2, 0x80, 0x00, 0x00])(i)?;
    let (i, code) = be_u32(i)?;
    let (mut i, crc) = be_u16(i)?;
    // EBR_ADDRESS, and EBR_WRITE with a number of lines of nine bytes and a CRC.
    while let [0xF6, ..] = i {
        let (next, _) = tag(&[0xF6, 0x00, 0x00, 0x00])(i)?;
        let (next, _) = take(4usize)(next)?;
        let (next, _) = tag(&[0xB2, 0xD0])(next)?;
        let (next, lines) = be_u16(next)?;
        (i, _) = take(9 * usize::from(lines) + 2)(next)?;
    }
    let (i, _) = tag(&[0x5E, 0x00, 0x00, 0x00, 0xFF, 0xFF, 0xFF, 0xFF])(i)?;
    let (i, _) = eof(i)?;
    Ok((i, (code, crc)))
}

/// CRC-16 with polynomial 8005, not reflected, from zero.
fn crc16(bytes: &[u8]) -> u16 {
    bytes.iter().fold(0, |crc, b| {
        (0..8).fold(crc ^ u16::from(*b) << 8, |crc: u16, _| {
            let out = crc & 0x8000 != 0;
            crc << 1 ^ if out { 0x8005 } else { 0 }
        })
    })
}

/// A field of a `.bit`: its key, a length and text that ends with zero.
fn field(key: u8, i: &[u8]) -> IResult<&[u8], String> {
    let (i, _) = tag(&[key][..])(i)?;
    let (i, n) = be_u16(i)?;
    let (i, text) = take(n)(i)?;
    let text = String::from_utf8_lossy(text);
    Ok((i, text.trim_end_matches('\0').to_string()))
}

fn xilinx(bytes: &[u8]) -> Result<Image, String> {
    const START: [u8; 13] = [
        0, 9, 0x0F, 0xF0, 0x0F, 0xF0, 0x0F, 0xF0, 0x0F, 0xF0, 0, 0, 1,
    ];
    let (mut rest, _) = at("the header", bytes, tag(&START[..])(bytes))?;
    let mut texts = Vec::new();
    for key in *b"abcd" {
        let what = format!("field `{}`", key as char);
        let (next, text) = at(&what, bytes, field(key, rest))?;
        texts.push(text);
        rest = next;
    }
    let (rest, _) = at("field `e`", bytes, tag(&b"e"[..])(rest))?;
    let (data, length) = at("field `e`", bytes, be_u32(rest))?;
    if data.len() != length as usize {
        return Err(format!(
            "it says that {length} bytes follow its header, and {} do",
            data.len()
        ));
    }
    const SYNC: &[u8] = &[0xAA, 0x99, 0x55, 0x66];
    let head = &data[..data.len().min(HEAD)];
    let (_, before) = at(
        "the part before the synchronisation word",
        bytes,
        take_until(SYNC)(head),
    )?;
    let mut words = &head[before.len() + SYNC.len()..];
    let (mut idcode, mut axss) = (None, None);
    // Packets up to the first frame: type 1 with register and number of words.
    while let Ok((next, header)) = be_u32::<_, nom::error::Error<&[u8]>>(words) {
        let (op, register, count) = (header >> 27 & 3, header >> 13 & 0x3FFF, header & 0x7FF);
        if header >> 29 != 1 || (op == 2 && register == 2) {
            break;
        }
        let (next, values) = at("a packet", bytes, take(4 * count as usize)(next))?;
        if op == 2 && count == 1 {
            let (_, value) = at("a packet", bytes, be_u32(values))?;
            match register {
                12 => idcode = Some(value & !XILINX_VERSION),
                13 => axss = Some(value),
                _ => {}
            }
        }
        words = next;
    }
    Ok(Image {
        family: Family::Xilinx7,
        text: texts.join(", "),
        idcode: idcode
            .ok_or("it does not check the part: no IDCODE is written before the first frame")?,
        usercode: axss,
    })
}

/// An image as ecppack writes it, with eight bytes in place of the frames.
#[cfg(test)]
pub(super) fn lattice(usercode: u32) -> Vec<u8> {
    let mut image =
        b"\xFF\x00Part: LFE5UM5G-45F-8CABGA381\0\xFF\xFF\xFF\xBD\xB3\xFF\xFF\xFF\xFF".to_vec();
    image.extend(
        b"\x3B\0\0\0\xE2\0\0\0\x81\x11\x20\x43\x22\0\0\0\x40\0\0\0\x46\0\0\0\x82\x91\x24\xFE",
    );
    image.extend([0; 8]);
    let mut end = b"\xFF\xC2\x80\0\0".to_vec();
    end.extend(usercode.to_be_bytes());
    end.extend(crc16(&end).to_be_bytes());
    image.extend(end);
    // Two block RAMs, of one line and of two.
    for lines in [1u16, 2] {
        image.extend(b"\xF6\0\0\0\0\0\x18\0\xB2\xD0");
        image.extend(lines.to_be_bytes());
        image.extend(vec![0x55; 9 * usize::from(lines) + 2]);
    }
    image.extend(b"\x5E\0\0\0\xFF\xFF\xFF\xFF");
    image
}

#[cfg(test)]
mod tests {
    use super::*;

    const CODE: u32 = 0x5248_0001;

    /// The last 19 bytes of an image that ecppack 1.4 wrote with this USERCODE.
    #[test]
    fn the_crc_is_that_of_ecppack() {
        let whole = b"\xFF\xC2\x80\0\0\x52\x48\0\x01\x65\x35\x5E\0\0\0\xFF\xFF\xFF\xFF";
        let image = lattice(CODE);
        assert!(image.windows(11).any(|w| *w == whole[..11]));
        assert!(image.ends_with(&whole[11..]));
    }

    fn artix() -> Vec<u8> {
        let mut image = vec![
            0, 9, 0x0F, 0xF0, 0x0F, 0xF0, 0x0F, 0xF0, 0x0F, 0xF0, 0, 0, 1,
        ];
        for (key, text) in [
            (b'a', "top;UserID=0XFFFFFFFF"),
            (b'b', "7a200tfbg484"),
            (b'c', "2026/11/27"),
            (b'd', "02:50:00"),
        ] {
            image.push(key);
            image.extend((text.len() as u16 + 1).to_be_bytes());
            image.extend(text.as_bytes());
            image.push(0);
        }
        let mut data = vec![0xFF; 16];
        for word in [
            0xAA99_5566u32,
            0x2000_0000,
            0x3001_A001,
            0x5248_0001,
            0x3001_8001,
            0x1363_6093,
            0x3000_4001,
            0,
        ] {
            data.extend(word.to_be_bytes());
        }
        image.push(b'e');
        image.extend((data.len() as u32).to_be_bytes());
        image.extend(data);
        image
    }

    #[test]
    fn both_formats_say_part_and_usercode() {
        let image = Image::parse(&lattice(CODE)).unwrap();
        assert_eq!(
            (image.family, image.part(), image.usercode),
            (Family::Ecp5, Some("LFE5UM5G-45F"), Some(0x5248_0001))
        );
        assert_eq!(image.text, "Part: LFE5UM5G-45F-8CABGA381");
        let image = Image::parse(&artix()).unwrap();
        assert_eq!(
            (image.family, image.part(), image.usercode),
            (Family::Xilinx7, Some("XC7A200T"), Some(0x5248_0001))
        );
        assert!(image.text.contains("7a200tfbg484"));
    }

    #[test]
    fn a_7_series_image_may_have_no_usercode() {
        let mut image = artix();
        let write = 0x3001_A001u32.to_be_bytes();
        let at = image.windows(4).position(|w| w == write).unwrap();
        // No operation, twice.
        image[at..at + 8].copy_from_slice(&[0x20, 0, 0, 0, 0x20, 0, 0, 0]);
        assert_eq!(Image::parse(&image).unwrap().usercode, None);
    }

    #[test]
    fn a_compressed_image_has_its_table_before_the_frames() {
        let mut image = lattice(CODE);
        let frames = image.windows(2).position(|w| w == [0x82, 0x91]).unwrap();
        image[frames] = 0xB8;
        image.splice(
            frames..frames,
            *b"\x02\0\0\0\x2A\x90\x54\xC5\xD5\xAA\x45\x55",
        );
        assert_eq!(Image::parse(&image).unwrap().idcode, 0x8111_2043);
    }

    #[test]
    fn every_end_and_every_flipped_byte_is_an_error_or_an_answer() {
        for image in [lattice(CODE), artix()] {
            for n in 0..image.len() {
                assert!(Image::parse(&image[..n]).is_err(), "cut at {n}");
                for bit in 0..8 {
                    let mut damaged = image.clone();
                    damaged[n] ^= 1 << bit;
                    // No panic; and a damaged USERCODE is never believed.
                    if let (Ok(found), [0xFF, 0x00, ..]) = (Image::parse(&damaged), &image[..]) {
                        assert_eq!(found.usercode, Some(0x5248_0001), "bit {bit} of {n}");
                    }
                }
            }
        }
    }

    #[test]
    fn errors_name_the_place() {
        let mut image = lattice(CODE);
        let id = image.iter().position(|b| *b == 0xE2).unwrap();
        image[id] = 0x77;
        assert!(Image::parse(&image)
            .unwrap_err()
            .contains("command 77 at byte"));
        assert!(Image::parse(b"hello").unwrap_err().contains("neither"));
        let mut image = artix();
        image.push(0);
        assert!(Image::parse(&image).unwrap_err().contains("bytes follow"));
    }
}
