//! One sequence of tokens, its cache, and what running it took.

use std::time::{Duration, Instant};

use super::attention::KvCache;
use super::{Decoder, Error, Experts, Routing, Stats};

/// A sequence being read and continued. After a failure it holds a part of a step: [`Session::clear`] it before going on.
pub struct Session<'a> {
    decoder: &'a Decoder,
    experts: &'a mut dyn Experts,
    caches: Vec<KvCache>,
    tokens: usize,
    context: usize,
    batch: usize,
    timing: Timing,
    trace: Option<Vec<Routing>>,
}

/// Wall time and tokens, summed over the life of a [`Session`].
#[derive(Debug, Clone, Copy, Default)]
pub struct Timing {
    /// Tokens that went through the layers.
    pub tokens: u64,
    /// All of it.
    pub total: Duration,
    /// Of that, routed experts: the time spent behind the seam.
    pub experts: Duration,
}

impl<'a> Session<'a> {
    /// An empty sequence of at most `context` tokens (no more than the model's own limit), read in steps of `batch`.
    pub fn new(
        decoder: &'a Decoder,
        experts: &'a mut dyn Experts,
        context: usize,
        batch: usize,
    ) -> Self {
        let spec = decoder.spec();
        Self {
            caches: spec
                .layers
                .iter()
                .map(|layer| KvCache::new(&layer.attention))
                .collect(),
            context: context.min(spec.context),
            batch: batch.max(1),
            decoder,
            experts,
            tokens: 0,
            timing: Timing::default(),
            trace: None,
        }
    }

    /// From now on keeps every routing choice; see [`Self::trace`].
    pub fn keep_trace(&mut self) {
        self.trace = Some(
            self.decoder
                .spec()
                .moe_layers()
                .map(|_| Routing::default())
                .collect(),
        );
    }

    /// The choices made since [`Self::keep_trace`], one [`Routing`] per routed layer in execution order.
    pub fn trace(&self) -> &[Routing] {
        self.trace.as_deref().unwrap_or_default()
    }

    /// Forgets all tokens; timing and trace stay.
    pub fn clear(&mut self) {
        self.caches.iter_mut().for_each(KvCache::clear);
        self.tokens = 0;
    }

    /// Tokens held.
    pub fn len(&self) -> usize {
        self.tokens
    }

    /// Whether no tokens are held.
    pub fn is_empty(&self) -> bool {
        self.tokens == 0
    }

    /// Tokens that can still be added.
    pub fn room(&self) -> usize {
        self.context - self.tokens
    }

    /// Adds tokens; returns the logits `[vocab]` after the last one.
    ///
    /// `progress` is called before each step with the number of these tokens already read; where it says false, reading
    /// stops and the result is `None`. Fails where there are no tokens, an id is out of range, the context overflows, or
    /// the experts fail.
    pub fn feed(
        &mut self,
        tokens: &[u32],
        mut progress: impl FnMut(usize) -> bool,
    ) -> Result<Option<Vec<f32>>, Error> {
        let mut last = None;
        self.run(
            tokens,
            &mut |at| progress(at),
            &mut |decoder, mut x, is_last| {
                if is_last {
                    let start = x.len() - decoder.spec().hidden;
                    last = Some(decoder.logits(&mut x[start..]));
                }
            },
        )?;
        Ok(last)
    }

    /// Adds tokens; returns the logits `[T, vocab]` after each of them. Fails as [`Self::feed`].
    pub fn score(&mut self, tokens: &[u32]) -> Result<Vec<f32>, Error> {
        let mut all = Vec::new();
        self.run(tokens, &mut |_| true, &mut |decoder, mut x, _| {
            all.append(&mut decoder.logits(&mut x))
        })?;
        Ok(all)
    }

    /// Runs `tokens` in steps and hands each step's residual stream to `take`, with whether it is the last.
    fn run(
        &mut self,
        tokens: &[u32],
        progress: &mut dyn FnMut(usize) -> bool,
        take: &mut dyn FnMut(&Decoder, Vec<f32>, bool),
    ) -> Result<(), Error> {
        if tokens.is_empty() {
            return Err(Error::NoTokens);
        }
        if tokens.len() > self.room() {
            return Err(Error::Context {
                used: self.tokens,
                added: tokens.len(),
                limit: self.context,
            });
        }
        let start = Instant::now();
        for (step, chunk) in tokens.chunks(self.batch).enumerate() {
            let at = step * self.batch;
            if !progress(at) {
                break;
            }
            let mut layer = 0;
            let trace = &mut self.trace;
            let mut timed = Timed {
                inner: &mut *self.experts,
                spent: Duration::ZERO,
            };
            let x = self.decoder.layers(
                chunk,
                self.tokens,
                &mut self.caches,
                &mut timed,
                &mut |routing| {
                    if let Some(trace) = trace {
                        trace[layer].extend(routing);
                    }
                    layer += 1;
                },
            )?;
            self.timing.experts += timed.spent;
            self.timing.tokens += chunk.len() as u64;
            self.tokens += chunk.len();
            take(self.decoder, x, at + chunk.len() == tokens.len());
        }
        self.timing.total += start.elapsed();
        Ok(())
    }

    /// What was run so far, and how long it took.
    pub fn timing(&self) -> Timing {
        self.timing
    }

    /// What the experts' device counted since it was opened.
    pub fn report(&self) -> Option<Stats> {
        self.experts.report()
    }
}

/// Measures the time behind the seam.
struct Timed<'a> {
    inner: &'a mut dyn Experts,
    spent: Duration,
}

impl Experts for Timed<'_> {
    fn layer(
        &mut self,
        layer: usize,
        x: &[f32],
        out: &mut [f32],
        routing: &mut Routing,
    ) -> Result<(), Error> {
        let start = Instant::now();
        let result = self.inner.layer(layer, x, out, routing);
        self.spent += start.elapsed();
        result
    }

    fn report(&self) -> Option<Stats> {
        self.inner.report()
    }
}
