//! One sequence of tokens, its cache, and what running it took.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::Arc;
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
    stop: Option<Arc<AtomicBool>>,
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
            stop: None,
        }
    }

    /// Looks at `flag` before the experts of every layer; while it is set, running tokens fails with
    /// [`Error::Interrupted`].
    pub fn stop_on(&mut self, flag: Arc<AtomicBool>) {
        self.stop = Some(flag);
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
    /// `progress` is called before each step with the number of these tokens already read. Fails where there are no
    /// tokens, an id is out of range, the context overflows, the experts fail, or it was asked to stop.
    pub fn feed(
        &mut self,
        tokens: &[u32],
        mut progress: impl FnMut(usize),
    ) -> Result<Vec<f32>, Error> {
        let mut last = Vec::new();
        self.run(tokens, &mut progress, &mut |decoder, mut x, is_last| {
            if is_last {
                let start = x.len() - decoder.spec().hidden;
                last = decoder.logits(&mut x[start..]);
            }
        })?;
        Ok(last)
    }

    /// Adds tokens; returns the logits `[T, vocab]` after each of them. Fails as [`Self::feed`].
    pub fn score(&mut self, tokens: &[u32]) -> Result<Vec<f32>, Error> {
        let mut all = Vec::new();
        self.run(tokens, &mut |_| (), &mut |decoder, mut x, _| {
            all.append(&mut decoder.logits(&mut x))
        })?;
        Ok(all)
    }

    /// Runs `tokens` in steps and hands each step's residual stream to `take`, with whether it is the last. Time spent
    /// counts even where a step fails.
    fn run(
        &mut self,
        tokens: &[u32],
        progress: &mut dyn FnMut(usize),
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
        for (step, chunk) in tokens.chunks(self.batch).enumerate() {
            let at = step * self.batch;
            progress(at);
            let start = Instant::now();
            let result = self.step(chunk).map(|x| {
                take(self.decoder, x, at + chunk.len() == tokens.len());
            });
            self.timing.total += start.elapsed();
            result?;
        }
        Ok(())
    }

    /// One step through the layers; returns the residual stream.
    fn step(&mut self, tokens: &[u32]) -> Result<Vec<f32>, Error> {
        let mut watched = Watched {
            inner: &mut *self.experts,
            spent: &mut self.timing.experts,
            stop: self.stop.as_deref(),
        };
        let mut layer = 0;
        let trace = &mut self.trace;
        let x = self.decoder.layers(
            tokens,
            self.tokens,
            &mut self.caches,
            &mut watched,
            &mut |routing| {
                if let Some(trace) = trace {
                    trace[layer].extend(routing);
                }
                layer += 1;
            },
        )?;
        self.timing.tokens += tokens.len() as u64;
        self.tokens += tokens.len();
        Ok(x)
    }

    /// What was run so far, and how long it took.
    pub fn timing(&self) -> Timing {
        self.timing
    }

    /// What the experts' device counted since it was opened.
    pub fn report(&self) -> Option<Stats> {
        self.experts.report()
    }

    /// How the experts' device failed, where something else has taken over.
    pub fn failure(&self) -> Option<&str> {
        self.experts.failure()
    }
}

/// Measures the time behind the seam, and does not go there when asked to stop.
struct Watched<'a> {
    inner: &'a mut dyn Experts,
    spent: &'a mut Duration,
    stop: Option<&'a AtomicBool>,
}

impl Experts for Watched<'_> {
    fn layer(
        &mut self,
        layer: usize,
        x: &[f32],
        out: &mut [f32],
        routing: &mut Routing,
    ) -> Result<(), Error> {
        if self.stop.is_some_and(|stop| stop.load(Ordering::Relaxed)) {
            return Err(Error::Interrupted);
        }
        let start = Instant::now();
        let result = self.inner.layer(layer, x, out, routing);
        *self.spent += start.elapsed();
        result
    }

    fn shares(&self, layer: usize) -> bool {
        self.inner.shares(layer)
    }

    fn report(&self) -> Option<Stats> {
        self.inner.report()
    }

    fn foresees(&self) -> bool {
        self.inner.foresees()
    }

    fn foresee(&mut self, layer: usize, tokens: &[u32], logits: &[f32]) -> Result<(), Error> {
        let start = Instant::now();
        let result = self.inner.foresee(layer, tokens, logits);
        *self.spent += start.elapsed();
        result
    }
}
