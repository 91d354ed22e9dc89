//! Flow control, both ways (chapter 2.6.1): counters modulo 256 for headers and modulo 4096 for data.

use super::link::{Grants, Pool};
use super::tlp::{Class, Tlp};

const HEADERS: u32 = 1 << 8;
const DATA: u32 = 1 << 12;

/// What a packet takes.
pub fn cost(tlp: &Tlp) -> Pool {
    Pool {
        headers: 1,
        data: (tlp.payload() as u32).div_ceil(4),
    }
}

fn add(a: Pool, b: Pool) -> Pool {
    Pool {
        headers: (a.headers + b.headers) % HEADERS,
        data: (a.data + b.data) % DATA,
    }
}

/// Of the counters for `class`, the grantor's.
pub fn pool(grants: &Grants, class: Class) -> Option<Pool> {
    match class {
        Class::Posted => grants.posted,
        Class::NonPosted => grants.non_posted,
        Class::Completion => grants.completion,
    }
}

/// One side's account of what it, or the other, has used.
#[derive(Clone, Copy, Debug, Default)]
pub struct Used([Pool; 3]);

impl Used {
    /// Whether `tlp` fits into what was granted: the standard's test, in modular arithmetic.
    pub fn fits(&self, tlp: &Tlp, grants: &Grants) -> bool {
        let Some(limit) = pool(grants, tlp.class()) else {
            return true;
        };
        let then = add(self.0[tlp.class() as usize], cost(tlp));
        (limit.headers + HEADERS - then.headers) % HEADERS <= HEADERS / 2
            && (limit.data + DATA - then.data) % DATA <= DATA / 2
    }

    /// What is left of `grants`, of posted and non-posted.
    pub fn left(&self, grants: &Grants) -> [Option<Pool>; 2] {
        [Class::Posted, Class::NonPosted].map(|class| {
            let used = self.0[class as usize];
            pool(grants, class).map(|limit| Pool {
                headers: (limit.headers + HEADERS - used.headers) % HEADERS,
                data: (limit.data + DATA - used.data) % DATA,
            })
        })
    }

    /// Takes what `tlp` costs.
    pub fn take(&mut self, tlp: &Tlp) {
        let used = &mut self.0[tlp.class() as usize];
        *used = add(*used, cost(tlp));
    }
}

/// The root complex' receive buffers: what it granted, and what it will grant again when packets have left them.
#[derive(Clone, Debug)]
pub struct Buffers {
    grants: Grants,
    /// Cycle, class, amount; in order of cycles.
    returning: std::collections::VecDeque<(u64, Class, Pool)>,
}

impl Buffers {
    /// Buffers of this size, empty.
    pub fn new(grants: Grants) -> Buffers {
        Buffers {
            grants,
            returning: Default::default(),
        }
    }

    /// What is granted now.
    pub fn grants(&self) -> &Grants {
        &self.grants
    }

    /// The room of `tlp` will be free at `cycle`, or when what came before it is.
    pub fn give_back(&mut self, tlp: &Tlp, cycle: u64) {
        let cycle = self
            .returning
            .back()
            .map_or(cycle, |last| last.0.max(cycle));
        self.returning.push_back((cycle, tlp.class(), cost(tlp)));
    }

    /// The cycle at which the next credits come free.
    pub fn due(&self) -> Option<u64> {
        self.returning.front().map(|r| r.0)
    }

    /// Grants what is free at `now`; true if there was any.
    pub fn update(&mut self, now: u64) -> bool {
        let mut changed = false;
        while self.due().is_some_and(|due| due <= now) {
            let Some((_, class, amount)) = self.returning.pop_front() else {
                break;
            };
            let pool = match class {
                Class::Posted => &mut self.grants.posted,
                Class::NonPosted => &mut self.grants.non_posted,
                Class::Completion => &mut self.grants.completion,
            };
            if let Some(pool) = pool {
                *pool = add(*pool, amount);
                changed = true;
            }
        }
        changed
    }
}

#[cfg(test)]
mod tests {
    use super::super::tlp::{Id, Request};
    use super::*;

    fn write(words: usize) -> Tlp {
        Tlp::MemWrite {
            request: Request {
                requester: Id(0),
                tag: 0,
                first_be: 15,
                last_be: 15,
            },
            address: 0,
            data: vec![0; words],
        }
    }

    #[test]
    fn the_limit_is_exact_and_wraps() {
        let pool = Pool {
            headers: 3,
            data: 20,
        };
        let mut buffers = Buffers::new(Grants {
            posted: Some(pool),
            ..Default::default()
        });
        let mut used = Used::default();
        // 33 words are 9 units.
        let tlp = write(33);
        for turn in 0..2000 {
            assert!(used.fits(&tlp, buffers.grants()), "{turn}");
            used.take(&tlp);
            assert!(used.fits(&tlp, buffers.grants()));
            used.take(&tlp);
            assert!(!used.fits(&tlp, buffers.grants()), "data of {turn}");
            assert!(used.fits(&write(8), buffers.grants()));
            let now = 10 * turn;
            buffers.give_back(&tlp, now + 5);
            buffers.give_back(&tlp, now + 6);
            assert!(!buffers.update(now));
            assert!(buffers.update(now + 5));
            assert_eq!(buffers.due(), Some(now + 6));
            assert!(buffers.update(now + 6));
        }
    }
}
