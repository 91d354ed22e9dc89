//! vfio-user conversations that a hostile side has: of a client as bytes that are changed, of a server as changes of an honest one's replies.

use std::io::{Read, Write};
use std::net::Shutdown;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::Path;
use std::time::Duration;

use sim_tb::rng::Rng;
use vfio_user::message::{
    Capabilities, Command, DeviceInfo, DmaMap, DmaUnmap, IrqInfo, RegionAccess, RegionInfo,
    SetIrqs, DMA_READ, DMA_WRITE, HEADER, IRQ_ACTION_TRIGGER, IRQ_DATA_NONE, PCI_CONFIG, PCI_MSIX,
};

use super::mutate;

/// A request as it goes over the wire.
pub fn request(id: u16, command: Command, body: &[u8]) -> Vec<u8> {
    let mut bytes = Vec::new();
    bytes.extend(id.to_le_bytes());
    bytes.extend((command as u16).to_le_bytes());
    bytes.extend(((HEADER + body.len()) as u32).to_le_bytes());
    bytes.extend([0; 8]);
    bytes.extend(body);
    bytes
}

/// A read of the vendor's number: the question after which all before it is done.
pub fn last_question(id: u16) -> Vec<u8> {
    let access = RegionAccess {
        offset: 0,
        region: PCI_CONFIG,
        count: 2,
    };
    request(id, Command::RegionRead, &access.to_bytes())
}

/// What an honest client may say.
pub fn honest() -> Vec<Vec<u8>> {
    let version = request(1, Command::Version, &Capabilities::OURS.to_body());
    let info = DeviceInfo {
        argsz: DeviceInfo::BYTES as u32,
        ..Default::default()
    };
    let region = |index| RegionInfo {
        argsz: RegionInfo::BYTES as u32,
        index,
        ..Default::default()
    };
    let irq = IrqInfo {
        argsz: IrqInfo::BYTES as u32,
        index: PCI_MSIX,
        ..Default::default()
    };
    let access = |region, offset, count| RegionAccess {
        offset,
        region,
        count,
    };
    let read = |region, offset, count| {
        let access: RegionAccess = access(region, offset, count);
        request(7, Command::RegionRead, &access.to_bytes())
    };
    let write = |region, offset, data: &[u8]| {
        let access: RegionAccess = access(region, offset, data.len() as u32);
        request(
            8,
            Command::RegionWrite,
            &[&access.to_bytes(), data].concat(),
        )
    };
    let map = DmaMap {
        argsz: DmaMap::BYTES as u32,
        flags: DMA_READ | DMA_WRITE,
        offset: 0,
        address: 0x10_0000,
        size: 0x1000,
    };
    let unmap = DmaUnmap {
        argsz: DmaUnmap::BYTES as u32,
        flags: 0,
        address: 0x10_0000,
        size: 0x1000,
    };
    let silence = SetIrqs {
        argsz: SetIrqs::BYTES as u32,
        flags: IRQ_DATA_NONE | IRQ_ACTION_TRIGGER,
        index: PCI_MSIX,
        start: 0,
        count: 0,
    };
    let first = [
        request(2, Command::DeviceGetInfo, &info.to_bytes()),
        request(3, Command::DeviceGetRegionInfo, &region(1).to_bytes()),
        request(4, Command::DeviceGetIrqInfo, &irq.to_bytes()),
        read(PCI_CONFIG, 0, 64),
        write(PCI_CONFIG, 4, &[6, 0]),
        read(0, 0, 4),
        write(1, 0x2010, &[3, 0, 0, 0]),
        read(1, 0x2010, 4),
    ];
    let second = [
        request(5, Command::DmaMap, &map.to_bytes()),
        write(2, 0x1000, &[0x5A; 200]),
        read(2, 0xFF0, 300),
        request(6, Command::DmaUnmap, &unmap.to_bytes()),
        request(9, Command::DeviceSetIrqs, &silence.to_bytes()),
        request(10, Command::DeviceReset, &[]),
    ];
    let all = |more: &[Vec<u8>]| [&version[..], &more.concat()].concat();
    vec![all(&first), all(&second)]
}

/// The messages of a conversation, as far as their lengths say.
fn messages(mut bytes: &[u8]) -> Vec<Vec<u8>> {
    let mut messages = Vec::new();
    while let Some(size) = bytes.get(4..8) {
        let size = u32::from_le_bytes([size[0], size[1], size[2], size[3]]) as usize;
        let size = size.clamp(8, bytes.len());
        messages.push(bytes[..size].to_vec());
        bytes = &bytes[size..];
    }
    messages
}

/// A conversation of one of `seeds`, with messages changed, left out, repeated or moved.
pub fn conversation(rng: &mut Rng, seeds: &[Vec<u8>]) -> Vec<u8> {
    const NUMBERS: [u32; 16] = [
        0,
        1,
        2,
        3,
        7,
        16,
        32,
        0xFFF,
        0x1000,
        0xFFFF,
        0x10_0000,
        0x10_0001,
        0x7FFF_FFFF,
        0x8000_0000,
        0xFFFF_FFFE,
        0xFFFF_FFFF,
    ];
    if rng.chance(32) {
        return mutate::bytes(rng, seeds);
    }
    let mut all = messages(&seeds[rng.below(seeds.len() as u64) as usize]);
    for _ in 0..1 + rng.below(3) {
        let at = rng.below(all.len() as u64) as usize;
        let other = rng.below(all.len() as u64) as usize;
        match rng.below(8) {
            0 if all.len() > 1 => drop(all.remove(at)),
            1 => all.insert(other, all[at].clone()),
            2 => all.swap(at, other),
            // Flags: a reply, or a request that wants none.
            3 => all[at][8] ^= 1 << rng.below(6),
            // Many of the same.
            4 if rng.chance(32) => {
                let many = vec![all[at].clone(); rng.below(2000) as usize];
                all.splice(at..at, many);
            }
            5 => {
                let more = vec![0; rng.below(64) as usize];
                all[at].extend(more);
                set_size(&mut all[at]);
            }
            // A number of the body, or of the header but for its size.
            _ => {
                let words = all[at].len() / 4;
                let word = 4 * rng.below(words as u64) as usize;
                let number = NUMBERS[rng.below(16) as usize];
                if word != 4 || rng.chance(64) {
                    all[at][word..word + 4].copy_from_slice(&number.to_le_bytes());
                }
            }
        }
    }
    all.concat()
}

/// Makes the size in the header that of the message.
fn set_size(message: &mut [u8]) {
    let size = message.len() as u32;
    message[4..8].copy_from_slice(&size.to_le_bytes());
}

/// A script of a few changes, of replies that there are: an opening and a copy each way take some fifty.
pub fn script(rng: &mut Rng, _: &[Vec<u8>]) -> Vec<u8> {
    let steps = (0..1 + rng.below(3)).flat_map(|_| {
        let number = rng.next() as u32 >> rng.below(32);
        let head = [rng.below(50) as u8, rng.below(12) as u8];
        [&head[..], &number.to_le_bytes()].concat()
    });
    steps.collect()
}

/// One change of a script: which reply, what, and a number.
fn step(bytes: &[u8]) -> (usize, u8, u32) {
    let number = u32::from_le_bytes([bytes[2], bytes[3], bytes[4], bytes[5]]);
    (usize::from(bytes[0]), bytes[1], number)
}

/// Bytes of a step in a script.
const STEP: usize = 6;
/// How long a side may be silent after something was changed, before the connection is closed: what was changed may be waited for.
const SILENCE: Duration = Duration::from_millis(30);

/// Stands between an honest server and one client of `listener`, and changes the server's messages as `script` says. Ends when one side does.
/// True if nothing was changed.
///
/// # Errors
/// The sockets cannot be made.
pub fn between(listener: &UnixListener, server: &Path, script: &[u8]) -> std::io::Result<bool> {
    let (client, _) = listener.accept()?;
    let server = UnixStream::connect(server)?;
    // Requests go as they are, with the descriptors beside them.
    let failed = |e: vfio_user::Error| std::io::Error::other(e.to_string());
    let (_, from) = vfio_user::pair(client.try_clone()?).map_err(failed)?;
    let (to, _) = vfio_user::pair(server.try_clone()?).map_err(failed)?;
    // The other direction of both waits. Here, before anything is read: whoever reads a socket in between finds it empty, and takes it for its end.
    client.set_nonblocking(false)?;
    server.set_nonblocking(false)?;
    let over = server.try_clone()?;
    let requests = std::thread::spawn(move || {
        let _ = relay(from, to);
        let _ = over.shutdown(Shutdown::Both);
    });
    let mut changed = false;
    let mut out = &client;
    for n in 0.. {
        let Some(mut message) = receive(&server) else {
            break;
        };
        let mut end = false;
        for (_, what, number) in script.chunks_exact(STEP).map(step).filter(|s| s.0 == n) {
            // What was cut short has no places to change any more.
            if end {
                break;
            }
            changed = true;
            let at = number as usize % message.len();
            let word = at.min(message.len() - 4) & !3;
            match what % 12 {
                0 => message[at] ^= 1 << (number >> 24 & 7),
                1 => message[4..8].copy_from_slice(&number.to_le_bytes()),
                2 => message[word..word + 4].copy_from_slice(&u32::MAX.to_le_bytes()),
                3 => message[word..word + 4].copy_from_slice(&0u32.to_le_bytes()),
                4 => {
                    message.truncate(at);
                    end = true;
                }
                5 => message = message.repeat(2),
                // A request of the server's own.
                6 => {
                    let body = [0; 16];
                    let asked = [Command::DmaRead, Command::DmaWrite, Command::DeviceReset];
                    let command = asked[number as usize % asked.len()];
                    message = [request(number as u16, command, &body), message].concat();
                }
                7 => end = true,
                8 => message[..2].copy_from_slice(&number.to_le_bytes()[..2]),
                9 => {
                    message[8] |= 1 << 5;
                    message[12..16].copy_from_slice(&number.to_le_bytes());
                }
                10 => {
                    message.extend(vec![0xA5; number as usize & 0xFFF]);
                    set_size(&mut message);
                }
                _ => {
                    message.truncate(HEADER);
                    set_size(&mut message);
                }
            }
        }
        if out.write_all(&message).is_err() || end {
            break;
        }
        if changed {
            server.set_read_timeout(Some(SILENCE))?;
        }
    }
    let _ = client.shutdown(Shutdown::Both);
    let _ = server.shutdown(Shutdown::Both);
    let _ = requests.join();
    Ok(!changed)
}

/// The next whole message.
fn receive(mut from: &UnixStream) -> Option<Vec<u8>> {
    let mut message = vec![0; HEADER];
    from.read_exact(&mut message).ok()?;
    let size = u32::from_le_bytes([message[4], message[5], message[6], message[7]]) as usize;
    message.resize(size, 0);
    from.read_exact(&mut message[HEADER..]).ok()?;
    Some(message)
}

/// Passes on what a client says, until it or the server ends.
fn relay(mut from: vfio_user::Receiver, mut to: vfio_user::Sender) -> Result<(), vfio_user::Error> {
    loop {
        let message = from.wait(Duration::from_secs(120))?;
        let fds: Vec<_> = message.fds.iter().map(std::os::fd::AsFd::as_fd).collect();
        let (id, body) = (message.id, &message.body[..]);
        to.send(
            id,
            message.command,
            message.kind,
            &[body],
            &fds,
            SILENCE * 100,
        )?;
    }
}
