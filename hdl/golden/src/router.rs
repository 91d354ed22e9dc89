//! Choice of experts and their weights (`docs/formats.md`, section 4).

use numeric::softmax;

/// A chosen expert.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Choice {
    /// Its index.
    pub expert: usize,
    /// Its weight, Q1.16.
    pub weight: u32,
}

/// The `k` largest of `logits` (ties to the lowest index), by falling logit, with their weights. `ls` is the exponent of
/// the logits' LSB. The weights are a softmax over the chosen ones if `renormalise`, over all otherwise.
pub fn choose(logits: &[i64], ls: i32, k: usize, renormalise: bool) -> Vec<Choice> {
    let mut order: Vec<usize> = (0..logits.len()).collect();
    order.sort_by_key(|&e| (std::cmp::Reverse(logits[e]), e));
    let largest = logits[order[0]];
    let p = |e: usize| softmax::exp_neg(softmax::distance(largest, logits[e], ls));
    let counted = if renormalise { &order[..k] } else { &order[..] };
    let sum = counted.iter().map(|&e| u64::from(p(e))).sum();
    let reciprocal = softmax::reciprocal(sum);
    order[..k]
        .iter()
        .map(|&expert| Choice {
            expert,
            weight: softmax::weight(p(expert), reciprocal),
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ties_go_to_the_lowest_index() {
        let c = choose(&[1, 7, 7, 0, 7], -20, 2, true);
        assert_eq!(c.iter().map(|c| c.expert).collect::<Vec<_>>(), [1, 2]);
        assert!(c.iter().all(|c| c.weight == 32768));
        let all = choose(&[5; 4], -20, 2, false);
        assert!(all.iter().all(|c| c.weight == 16384));
    }
}
