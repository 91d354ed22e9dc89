//! The header of a memory request: words and byte enables of any run of bytes.
//!
//! What: three words below 4 GiB, else four. Cost (ECP5): 130 LUTs. Latency: none. Hazard: the run may not cross 4 KiB.

use leaf::prelude::*;

/// See the module's page.
#[derive(LogicBlock, Default)]
pub struct RequestHeader {
    /// Address of the first byte.
    pub addr: Signal<In, Bits<64>>,
    /// Number of bytes, 1 to 4096.
    pub bytes: Signal<In, Bits<13>>,
    /// A write: data follow.
    pub write: Signal<In, Bit>,
    /// Tag.
    pub tag: Signal<In, Bits<6>>,
    /// Requester.
    pub id: Signal<In, Bits<16>>,
    /// The header, word 0 in the low bits.
    pub header: Signal<Out, Bits<128>>,
    /// It is one word: known sooner than the length.
    pub one: Signal<Out, Bit>,
    sum: Signal<Local, Bits<13>>,
    ends: Signal<Local, Bits<2>>,
    first: Signal<Local, Bits<4>>,
    last: Signal<Local, Bits<4>>,
    single: Signal<Local, Bit>,
    little: Signal<Local, Bits<3>>,
    four: Signal<Local, Bit>,
    enables: Signal<Local, Bits<8>>,
    word0: Signal<Local, Bits<32>>,
    word1: Signal<Local, Bits<32>>,
}

impl Logic for RequestHeader {
    #[hdl_gen]
    fn update(&mut self) {
        comment!("pcie_request_header");
        // Bytes from the start of the first word, rounded up: one addition.
        self.sum.next = self.bytes.val()
            + bit_cast::<13, 3>(bit_cast::<3, 2>(self.addr.val().get_bits::<2>(0)) + 3);
        self.ends.next = self.addr.val().get_bits::<2>(0) + self.bytes.val().get_bits::<2>(0);
        self.first.next = bits::<4>(15) << self.addr.val().get_bits::<2>(0);
        self.last.next = 15.into();
        if self.ends.val() == 1 {
            self.last.next = 1.into();
        }
        if self.ends.val() == 2 {
            self.last.next = 3.into();
        }
        if self.ends.val() == 3 {
            self.last.next = 7.into();
        }
        self.little.next =
            self.bytes.val().get_bits::<3>(0) + bit_cast::<3, 2>(self.addr.val().get_bits::<2>(0));
        self.single.next = self.bytes.val().get_bits::<10>(3) == 0
            && self.bytes.val().get_bits::<3>(0) <= bits::<3>(4)
            && self.little.val() <= bits::<3>(4);
        self.one.next = self.single.val();
        self.enables.next =
            (bit_cast::<8, 4>(self.last.val()) << 4) | bit_cast::<8, 4>(self.first.val());
        if self.single.val() {
            self.enables.next = bit_cast::<8, 4>(self.first.val() & self.last.val());
        }
        self.four.next = self.addr.val().get_bits::<32>(32) != 0;
        self.word0.next = bit_cast::<32, 10>(self.sum.val().get_bits::<10>(2))
            | (bit_cast::<32, 1>(self.write.val().into()) << 30)
            | (bit_cast::<32, 1>(self.four.val().into()) << 29);
        self.word1.next = (bit_cast::<32, 16>(self.id.val()) << 16)
            | (bit_cast::<32, 6>(self.tag.val()) << 8)
            | bit_cast::<32, 8>(self.enables.val());
        self.header.next = bit_cast::<128, 32>(self.word0.val())
            | (bit_cast::<128, 32>(self.word1.val()) << 32)
            | (bit_cast::<128, 30>(self.addr.val().get_bits::<30>(2)) << 66);
        if self.four.val() {
            self.header.next = bit_cast::<128, 32>(self.word0.val())
                | (bit_cast::<128, 32>(self.word1.val()) << 32)
                | (bit_cast::<128, 32>(self.addr.val().get_bits::<32>(32)) << 64)
                | (bit_cast::<128, 30>(self.addr.val().get_bits::<30>(2)) << 98);
        }
    }
}
