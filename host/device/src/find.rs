//! Which boards this machine has, by its sysfs, and what stands in the way of using one.

use std::fs::OpenOptions;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use crate::lock::Lock;

/// Where the kernel shows devices: `/sys` and `/dev`.
#[derive(Clone, Debug)]
pub struct Root {
    sys: PathBuf,
    dev: PathBuf,
}

/// Something in the way, and the command that mends it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// What is wrong, in words.
    pub what: String,
    /// What to do.
    pub mend: String,
}

impl std::fmt::Display for Problem {
    fn fmt(&self, f: &mut std::fmt::Formatter) -> std::fmt::Result {
        write!(f, "{}; {}", self.what, self.mend)
    }
}

fn problem(what: impl Into<String>, mend: impl Into<String>) -> Problem {
    Problem {
        what: what.into(),
        mend: mend.into(),
    }
}

/// A board that is plugged in.
#[derive(Clone, Debug)]
pub struct Found {
    /// Its address, as `0000:01:00.0`.
    pub address: String,
    /// Vendor and device.
    pub id: (u16, u16),
    /// The driver it is bound to.
    pub driver: Option<String>,
    /// The way to reach it (what `--device` takes), or why there is none.
    pub way: Result<String, Problem>,
}

impl Root {
    /// That of this machine; or, for tests, the folders `sys` and `dev` of the directory that ROUNDHOUSE_ROOT names.
    pub fn of_this_machine() -> Root {
        let root = std::env::var_os("ROUNDHOUSE_ROOT").map_or_else(|| "/".into(), PathBuf::from);
        Root::at(&root)
    }

    /// The folders `sys` and `dev` of `root`.
    pub fn at(root: &Path) -> Root {
        Root {
            sys: root.join("sys"),
            dev: root.join("dev"),
        }
    }

    /// The folder of a PCI function.
    pub(crate) fn function(&self, address: &str) -> PathBuf {
        self.sys.join("bus/pci/devices").join(address)
    }

    /// A device node.
    pub(crate) fn node(&self, name: impl AsRef<Path>) -> PathBuf {
        self.dev.join(name)
    }

    /// The functions of any of these vendors and devices, by rising address.
    pub fn boards(&self, ids: &[(u16, u16)]) -> Vec<Found> {
        let Ok(entries) = self.sys.join("bus/pci/devices").read_dir() else {
            return Vec::new(); // a machine without PCI
        };
        let mut found: Vec<_> = entries
            .filter_map(|entry| {
                let address = entry.ok()?.file_name().into_string().ok()?;
                let id = (self.id(&address, "vendor")?, self.id(&address, "device")?);
                ids.contains(&id).then(|| Found {
                    id,
                    driver: self.driver(&address),
                    way: self.way(&address),
                    address,
                })
            })
            .collect();
        found.sort_by(|a, b| a.address.cmp(&b.address));
        found
    }

    fn id(&self, address: &str, which: &str) -> Option<u16> {
        let text = std::fs::read_to_string(self.function(address).join(which)).ok()?;
        u16::from_str_radix(text.trim().strip_prefix("0x")?, 16).ok()
    }

    fn driver(&self, address: &str) -> Option<String> {
        name_of(&self.function(address).join("driver"))
    }

    /// The way to reach a function, or what is in the way.
    fn way(&self, address: &str) -> Result<String, Problem> {
        if self.driver(address).as_deref() == Some("xdma") {
            let number = self.xdma_number(address).ok_or_else(|| {
                problem(
                    "its driver `xdma` has made no character devices",
                    "see `sudo dmesg | grep xdma`, then reload it: `sudo rmmod xdma && sudo modprobe xdma`",
                )
            })?;
            return self.xdma(number).map(|()| format!("xdma:{number}"));
        }
        self.vfio(address).map(|_| format!("vfio:{address}"))
    }

    fn xdma_number(&self, address: &str) -> Option<u32> {
        let entries = self.function(address).join("xdma").read_dir().ok()?;
        entries
            .filter_map(|e| e.ok()?.file_name().into_string().ok())
            .find_map(|name| {
                let number = name.strip_prefix("xdma")?.strip_suffix("_user")?;
                number.parse().ok()
            })
    }

    /// Whether the character devices of board `number` can be used.
    pub(crate) fn xdma(&self, number: u32) -> Result<(), Problem> {
        for name in ["user", "h2c_0", "c2h_0"] {
            let node = self.node(format!("xdma{number}_{name}"));
            let known = node.display();
            match OpenOptions::new().read(name != "h2c_0").write(name != "c2h_0").open(&node) {
                Ok(_) => {}
                Err(e) if e.kind() == ErrorKind::NotFound => {
                    return Err(problem(
                        format!("there is no `{known}`"),
                        "load the vendor's driver (`sudo modprobe xdma`) for a card whose DMA has one channel each way and a user BAR; `host info` lists boards",
                    ))
                }
                Err(e) if e.kind() == ErrorKind::PermissionDenied => {
                    return Err(problem(
                        format!("no permission for `{known}`"),
                        format!("`sudo chown $USER {}`", self.node(format!("xdma{number}_*")).display()),
                    ))
                }
                Err(e) => {
                    return Err(problem(
                        format!("`{known}` cannot be opened: {e}"),
                        "see `sudo dmesg | grep xdma`",
                    ))
                }
            }
        }
        self.free(&self.node(format!("xdma{number}_user")))
    }

    /// Whether a function can be used through VFIO; its group's node, or nothing where only the device's own node is there.
    pub(crate) fn vfio(&self, address: &str) -> Result<PathBuf, Problem> {
        let function = self.function(address);
        if !function.exists() {
            return Err(problem(
                format!("there is no PCI device {address}"),
                "`host info` and `lspci -D` list those there are; `echo 1 | sudo tee /sys/bus/pci/rescan` looks for new ones",
            ));
        }
        let Some(group) = name_of(&function.join("iommu_group")) else {
            return Err(problem(
                "the kernel has no IOMMU for it",
                "switch on VT-d or AMD-Vi in the firmware, add `intel_iommu=on` (on Intel) to the kernel's command line, and reboot",
            ));
        };
        let bind = format!("`modprobe vfio-pci; echo vfio-pci > {0}/driver_override; echo {address} > /sys/bus/pci/drivers_probe` as root", function.display());
        match self.driver(address).as_deref() {
            Some("vfio-pci") => {}
            None => return Err(problem("no driver is bound to it", bind)),
            Some(other) => {
                return Err(problem(
                    format!("it is bound to the driver `{other}`"),
                    format!(
                        "`echo {address} > {}/driver/unbind; {}",
                        function.display(),
                        &bind[1..]
                    ),
                ))
            }
        }
        self.viable(address, &group)?;
        let node = self.node("vfio").join(&group);
        match OpenOptions::new().read(true).write(true).open(&node) {
            Ok(_) => {}
            Err(e) if e.kind() == ErrorKind::NotFound => {
                return Err(problem(
                    format!("there is no `{}`", node.display()),
                    "`sudo modprobe vfio-pci vfio_iommu_type1`; a kernel without VFIO groups needs this program built with `--features iommufd`",
                ))
            }
            Err(e) if e.kind() == ErrorKind::PermissionDenied => {
                return Err(problem(
                    format!("no permission for `{}`", node.display()),
                    format!("`sudo chown $USER {}`", node.display()),
                ))
            }
            Err(e) if e.kind() == ErrorKind::ResourceBusy => {
                self.free(&node)?;
                return Err(problem(
                    "another program uses it",
                    format!("`sudo fuser -v {}` names it", node.display()),
                ));
            }
            Err(e) => {
                return Err(problem(
                    format!("`{}` cannot be opened: {e}", node.display()),
                    "see `sudo dmesg | grep vfio`",
                ))
            }
        }
        self.free(&node)?;
        Ok(node)
    }

    /// Functions that share a group are isolated only together.
    fn viable(&self, address: &str, group: &str) -> Result<(), Problem> {
        let members = self
            .sys
            .join("kernel/iommu_groups")
            .join(group)
            .join("devices");
        let members = members.read_dir().into_iter().flatten();
        for member in members.filter_map(|e| e.ok()?.file_name().into_string().ok()) {
            let driver = self.driver(&member);
            let harmless = matches!(
                driver.as_deref(),
                None | Some("vfio-pci" | "pcieport" | "pci-stub")
            );
            if member != address && !harmless {
                return Err(problem(
                    format!("{member} is in the same IOMMU group, and bound to `{}`", driver.unwrap_or_default()),
                    format!("bind it to vfio-pci too, `echo {member} > {}/driver/unbind` as root at least, or move the card to another slot", self.function(&member).display()),
                ));
            }
        }
        Ok(())
    }

    /// Whether no program of this kind holds the board of a node.
    fn free(&self, node: &Path) -> Result<(), Problem> {
        match Lock::holder(node) {
            None => Ok(()),
            Some(holder) => Err(problem(
                format!("it is in use by {holder}"),
                "wait until that ends, or stop it",
            )),
        }
    }
}

/// Last part of what a link names.
fn name_of(link: &Path) -> Option<String> {
    let target = link.read_link().ok()?;
    Some(target.file_name()?.to_str()?.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::symlink;

    const ADDRESS: &str = "0000:03:00.0";

    /// A tree with one board, and what a test adds to it.
    struct Tree(PathBuf);

    impl Tree {
        fn new(name: &str) -> Tree {
            let path =
                std::env::temp_dir().join(format!("device-find-{}-{name}", std::process::id()));
            let tree = Tree(path);
            tree.function(ADDRESS, "0x10ee", "0x9011");
            tree.function("0000:00:01.0", "0x8086", "0x1234");
            tree
        }
        fn function(&self, address: &str, vendor: &str, device: &str) {
            self.file(&format!("sys/bus/pci/devices/{address}/vendor"), vendor);
            self.file(&format!("sys/bus/pci/devices/{address}/device"), device);
        }
        fn file(&self, path: &str, text: &str) {
            let path = self.0.join(path);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, format!("{text}\n")).unwrap();
        }
        fn link(&self, path: &str, target: &str) {
            let path = self.0.join(path);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            symlink(target, path).unwrap();
        }
        fn drive(&self, address: &str, driver: &str) {
            self.link(
                &format!("sys/bus/pci/devices/{address}/driver"),
                &format!("../../../bus/pci/drivers/{driver}"),
            );
        }
        fn group(&self, address: &str) {
            self.link(
                &format!("sys/bus/pci/devices/{address}/iommu_group"),
                "../../../kernel/iommu_groups/7",
            );
            self.file(&format!("sys/kernel/iommu_groups/7/devices/{address}"), "");
        }
        fn one(&self) -> Found {
            let mut all = Root::at(&self.0).boards(&[(0x10EE, 0x9011), (0x10EE, 0x9038)]);
            assert_eq!(all.len(), 1, "only boards are listed");
            all.remove(0)
        }
        fn refused(&self, parts: &[&str]) {
            let said = self.one().way.unwrap_err().to_string();
            for part in parts {
                assert!(said.contains(part), "{said} does not say {part}");
            }
        }
    }

    impl Drop for Tree {
        fn drop(&mut self) {
            let _ = std::fs::remove_dir_all(&self.0);
        }
    }

    #[test]
    fn every_step_to_vfio_is_told() {
        let t = Tree::new("vfio");
        t.refused(&["no IOMMU", "intel_iommu=on"]);
        t.group(ADDRESS);
        t.refused(&[
            "no driver",
            "modprobe vfio-pci",
            "driver_override",
            "> /sys/bus/pci/drivers_probe",
        ]);
        t.drive(ADDRESS, "nvme");
        t.refused(&[
            "bound to the driver `nvme`",
            "driver/unbind",
            "drivers_probe",
        ]);
        std::fs::remove_file(t.0.join("sys/bus/pci/devices/0000:03:00.0/driver")).unwrap();
        t.drive(ADDRESS, "vfio-pci");
        t.refused(&["dev/vfio/7`", "sudo modprobe"]);
        t.file("dev/vfio/7", "");
        let found = t.one();
        assert_eq!(found.way.unwrap(), "vfio:0000:03:00.0");
        assert_eq!(
            (found.id, found.driver.as_deref()),
            ((0x10EE, 0x9011), Some("vfio-pci"))
        );
        t.function("0000:03:00.1", "0x8086", "0x1");
        t.group("0000:03:00.1");
        t.drive("0000:03:00.1", "snd");
        t.refused(&["0000:03:00.1 is in the same IOMMU group", "`snd`"]);
    }

    #[test]
    fn a_board_in_use_names_its_user() {
        let t = Tree::new("busy");
        t.group(ADDRESS);
        t.drive(ADDRESS, "vfio-pci");
        t.file("dev/vfio/7", "");
        let lock = Lock::take("vfio:0000:03:00.0", &t.0.join("dev/vfio/7")).unwrap();
        t.refused(&[&format!("in use by process {}", std::process::id())]);
        drop(lock);
        t.one().way.unwrap();
    }

    #[test]
    fn a_board_of_the_vendors_driver_is_reached_through_it() {
        let t = Tree::new("xdma");
        t.drive(ADDRESS, "xdma");
        t.refused(&["no character devices", "dmesg"]);
        t.file("sys/bus/pci/devices/0000:03:00.0/xdma/xdma2_user/dev", "");
        t.refused(&["dev/xdma2_user`", "sudo modprobe xdma"]);
        for name in ["user", "h2c_0", "c2h_0"] {
            t.file(&format!("dev/xdma2_{name}"), "");
        }
        assert_eq!(t.one().way.unwrap(), "xdma:2");
    }

    #[test]
    fn a_machine_without_pci_has_no_boards() {
        assert!(Root::at(Path::new("/nowhere"))
            .boards(&[(0x10EE, 0x9011)])
            .is_empty());
        let e = Root::at(Path::new("/nowhere")).vfio(ADDRESS).unwrap_err();
        assert!(e.to_string().contains("lspci -D"));
    }
}
