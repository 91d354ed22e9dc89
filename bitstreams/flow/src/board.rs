//! Boards that an image can be made for. Pins and the module around the image are in `constraints/NAME`.

/// A board and the part on it.
#[derive(Clone, Copy, Debug)]
pub struct Board {
    /// Name in manifests and of its folder in `constraints`.
    pub name: &'static str,
    /// What people call it.
    pub about: &'static str,
    /// The part.
    pub part: &'static str,
    /// IDCODE of the part (IEEE 1149.1).
    pub idcode: u32,
    /// Which tools make its image.
    pub family: Family,
    /// The engine's clock in Hz, as the PLL in `constraints/NAME/top.v` makes it.
    pub clock_hz: u32,
    /// The command that loads an image, before the name of the file.
    pub load: &'static str,
}

/// Parts that one set of tools is for.
#[derive(Clone, Copy, Debug)]
pub enum Family {
    /// Lattice ECP5: the options of nextpnr-ecp5 that name the part.
    Ecp5(&'static [&'static str]),
    /// Xilinx 7 series: the device's name for nextpnr-himbaechel-xilinx.
    Xilinx7(&'static str),
}

/// All of them.
pub const BOARDS: [Board; 3] = [
    Board {
        name: "versa",
        about: "Lattice ECP5-5G Versa",
        part: "LFE5UM5G-45F-8BG381",
        idcode: 0x8111_2043,
        family: Family::Ecp5(&["--um5g-45k", "--package", "CABGA381", "--speed", "8"]),
        clock_hz: 50_000_000,
        load: "openFPGALoader -c ft2232",
    },
    Board {
        name: "ulx4m",
        about: "Radiona ULX4M-LD",
        part: "LFE5UM5G-85F-8BG381",
        idcode: 0x8111_3043,
        family: Family::Ecp5(&["--um5g-85k", "--package", "CABGA381", "--speed", "8"]),
        clock_hz: 50_000_000,
        load: "openFPGALoader",
    },
    Board {
        name: "acorn",
        about: "SQRL Acorn CLE-215+",
        part: "XC7A200T-3FBG484",
        idcode: 0x1363_6093,
        family: Family::Xilinx7("xc7a200tfbg484-2"),
        clock_hz: 50_000_000,
        load: "openFPGALoader -b acornCle215",
    },
];

impl Board {
    /// The board called `name`.
    ///
    /// # Errors
    /// A sentence with the known boards.
    pub fn named(name: &str) -> Result<Self, String> {
        BOARDS.into_iter().find(|b| b.name == name).ok_or_else(|| {
            let known = BOARDS.map(|b| b.name).join(", ");
            format!("there is no board `{name}` that an image can be made for; known: {known}")
        })
    }
}
