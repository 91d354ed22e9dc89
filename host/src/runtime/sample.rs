//! Choosing the next token from logits.

use super::random::Random;
use super::{kernels, Error};

/// How to choose.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Sampling {
    /// Divides the logits; 0 always takes the most likely token.
    pub temperature: f32,
    /// Keep this many of the most likely tokens; 0 keeps all.
    pub top_k: usize,
    /// Keep the most likely tokens whose probabilities reach this sum; 1 keeps all.
    pub top_p: f32,
    /// Keep tokens at least this likely, relative to the most likely one; 0 keeps all.
    pub min_p: f32,
    /// Determines the random numbers.
    pub seed: u64,
}

/// Chooses tokens; the same logits and seed give the same tokens on every machine.
pub struct Sampler {
    how: Sampling,
    random: Random,
}

impl Sampler {
    /// A sampler at the start of its random numbers.
    pub fn new(how: Sampling) -> Self {
        Self {
            how,
            random: Random::new(how.seed),
        }
    }

    /// Chooses a token; fails where no logit is a number.
    ///
    /// Tokens are filtered by `top_k`, `top_p` and `min_p` in this order, then the temperature is applied.
    pub fn choose(&mut self, logits: &[f32]) -> Result<u32, Error> {
        let best = most_likely(logits)?;
        if self.how.temperature == 0.0 {
            return Ok(best);
        }
        let mut ids: Vec<u32> = (0..logits.len() as u32)
            .filter(|&id| !logits[id as usize].is_nan())
            .collect();
        let logit = |id: u32| logits[id as usize];
        ids.sort_by(|&a, &b| logit(b).total_cmp(&logit(a)).then(a.cmp(&b)));
        if self.how.top_k > 0 {
            ids.truncate(self.how.top_k);
        }
        let mut shares: Vec<f32> = ids.iter().map(|&id| logit(id)).collect();
        kernels::softmax(&mut shares);
        let mut sum = 0.0;
        let until_p = shares.iter().position(|share| {
            sum += share;
            sum >= self.how.top_p
        });
        let keep = until_p.map_or(shares.len(), |last| last + 1);
        let floor = self.how.min_p * shares[0];
        let keep = shares[..keep]
            .iter()
            .take_while(|&&share| share >= floor)
            .count()
            .max(1);
        ids.truncate(keep);

        let mut shares: Vec<f32> = ids
            .iter()
            .map(|&id| logit(id) / self.how.temperature)
            .collect();
        kernels::softmax(&mut shares);
        let mut left = self.random.uniform();
        let drawn = shares.iter().position(|share| {
            left -= share;
            left < 0.0
        });
        // Rounding can leave a little over: it belongs to the last token.
        Ok(ids[drawn.unwrap_or(ids.len() - 1)])
    }
}

/// The token of the largest logit, the lowest id among equals; fails where no logit is a number.
pub fn most_likely(logits: &[f32]) -> Result<u32, Error> {
    let numbers = (0..logits.len()).filter(|&id| !logits[id].is_nan());
    let best = numbers.reduce(|best, id| if logits[id] > logits[best] { id } else { best });
    match best {
        Some(id) if logits[id].is_finite() => Ok(id as u32),
        _ => Err(Error::NotANumber),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ALL: Sampling = Sampling {
        temperature: 1.0,
        top_k: 0,
        top_p: 1.0,
        min_p: 0.0,
        seed: 3,
    };

    /// Draws often and returns how often each of four tokens came.
    fn draw(how: Sampling, logits: [f32; 4]) -> [usize; 4] {
        println!("seed {}", how.seed);
        let mut sampler = Sampler::new(how);
        let mut counts = [0; 4];
        for _ in 0..4000 {
            counts[sampler.choose(&logits).unwrap() as usize] += 1;
        }
        counts
    }

    /// Logits whose softmax is .1, .2, .3, .4.
    fn rising() -> [f32; 4] {
        [0.1f32, 0.2, 0.3, 0.4].map(f32::ln)
    }

    #[test]
    fn frequencies_follow_the_probabilities() {
        for (count, expected) in draw(ALL, rising())
            .into_iter()
            .zip([400usize, 800, 1200, 1600])
        {
            assert!(
                count.abs_diff(expected) < 150,
                "{count} draws, expected about {expected}"
            );
        }
    }

    #[test]
    fn filters_keep_what_they_say() {
        let kept = |how| draw(how, rising()).map(|count| count > 0);
        assert_eq!(
            kept(Sampling { top_k: 2, ..ALL }),
            [false, false, true, true]
        );
        assert_eq!(
            kept(Sampling { top_p: 0.6, ..ALL }),
            [false, false, true, true]
        );
        assert_eq!(
            kept(Sampling { min_p: 0.45, ..ALL }),
            [false, true, true, true]
        );
        assert_eq!(
            kept(Sampling {
                temperature: 0.0,
                ..ALL
            }),
            [false, false, false, true]
        );
        assert_eq!(
            kept(Sampling { min_p: 2.0, ..ALL }),
            [false, false, false, true]
        );
    }

    #[test]
    fn ties_and_numbers_that_are_none() {
        assert_eq!(most_likely(&[f32::NAN, 1.0, 1.0]).unwrap(), 1);
        assert!(matches!(
            most_likely(&[f32::NAN; 2]),
            Err(Error::NotANumber)
        ));
        assert!(matches!(
            most_likely(&[f32::INFINITY, 0.0]),
            Err(Error::NotANumber)
        ));
        let mut sampler = Sampler::new(ALL);
        assert_eq!(
            sampler.choose(&[f32::NAN, 0.0, f32::NEG_INFINITY]).unwrap(),
            1
        );
    }
}
