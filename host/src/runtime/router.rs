//! From router logits to the experts of a token, in f32.

use super::kernels;
use super::Routing;
use crate::model::spec::Router;

/// Appends one token's choice to `routing`. `logits` (one per expert) is overwritten with the softmax scores.
///
/// Scores are a softmax over all experts; the `top_k` largest are chosen, equal ones by the lowest number.
pub fn choose(rule: Router, logits: &mut [f32], routing: &mut Routing) {
    kernels::softmax(logits);
    let start = routing.weights.len();
    for _ in 0..rule.top_k {
        let chosen = &routing.indices[start..];
        let free = (0..logits.len()).filter(|&e| !chosen.contains(&(e as u32)));
        // Only a strictly larger score displaces an earlier one; a score that is not a number never does.
        let best = free.reduce(|best, e| if logits[e] > logits[best] { e } else { best });
        let best = best.expect("top_k is at most the number of experts");
        routing.indices.push(best as u32);
        routing.weights.push(logits[best]);
    }
    if rule.renormalise {
        let weights = &mut routing.weights[start..];
        let sum: f32 = weights.iter().sum();
        weights.iter_mut().for_each(|w| *w /= sum);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn route(top_k: usize, renormalise: bool, logits: &[f32]) -> Routing {
        let mut routing = Routing::default();
        routing.clear(top_k);
        choose(
            Router { top_k, renormalise },
            &mut logits.to_vec(),
            &mut routing,
        );
        routing
    }

    #[test]
    fn ties_go_to_the_lowest_index() {
        assert_eq!(route(3, true, &[1.0, 2.0, 2.0, 1.0]).indices, [1, 2, 0]);
    }

    #[test]
    fn without_renormalisation_weights_are_shares_of_all() {
        let logits = [0.0, 0.0, 0.0, 0.0];
        assert_eq!(route(2, false, &logits).weights, [0.25, 0.25]);
        assert_eq!(route(2, true, &logits).weights, [0.5, 0.5]);
    }

    #[test]
    fn numbers_that_are_none_still_choose_distinct_experts() {
        assert_eq!(route(2, true, &[f32::NAN; 3]).indices, [0, 1]);
    }
}
