//! Choice of experts and their weights (`docs/formats.md`, section 4).

use std::cmp::Reverse;

use abi::command::{
    Score, NO_EXPERT, ROUTE_SCALE_ONE, ROUTING_CHOICE_BIAS, ROUTING_GROUP_SUM2, ROUTING_RENORMALISE,
};
use abi::Command;
use numeric::score;

/// A chosen expert.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Choice {
    /// Its index.
    pub expert: usize,
    /// Its weight, Q4.16.
    pub weight: u32,
}

/// How experts are chosen.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rule {
    /// The score.
    pub score: Score,
    /// k.
    pub topk: usize,
    /// The k weights are divided by their own sum.
    pub renormalise: bool,
    /// The choice has biases.
    pub choice_bias: bool,
    /// Groups of experts; 0 or 1 for none.
    pub groups: usize,
    /// Groups that may be chosen from.
    pub groups_kept: usize,
    /// A group is judged by the sum of its two best keys, not by its best.
    pub sum2: bool,
    /// Factor on the weights, Q4.12.
    pub route_scale: u16,
    /// Twice sparsemixer's threshold, Q0.16.
    pub jitter: u16,
}

impl Default for Rule {
    /// Softmax over all experts, the best two.
    fn default() -> Rule {
        Rule {
            score: Score::Softmax,
            topk: 2,
            renormalise: false,
            choice_bias: false,
            groups: 0,
            groups_kept: 0,
            sum2: false,
            route_scale: ROUTE_SCALE_ONE,
            jitter: 0,
        }
    }
}

impl Rule {
    /// The rule of a command.
    pub fn of(c: &Command) -> Rule {
        let has = |bit| c.routing & bit != 0;
        Rule {
            score: c.score(),
            topk: c.topk.into(),
            renormalise: has(ROUTING_RENORMALISE),
            choice_bias: has(ROUTING_CHOICE_BIAS),
            groups: c.groups.into(),
            groups_kept: c.groups_kept.into(),
            sum2: has(ROUTING_GROUP_SUM2),
            route_scale: c.route_scale,
            jitter: c.jitter,
        }
    }
}

/// The chosen experts of a token, by falling key, with their weights. `logits` have the LSB `2^ls`; `biases` are those of
/// the choice (Q7.24), one per expert where the rule has them.
pub fn choose(logits: &[i64], ls: i32, biases: &[i32], rule: &Rule) -> Vec<Choice> {
    let l: Vec<i64> = logits
        .iter()
        .map(|&logit| numeric::fix(logit, ls).value)
        .collect();
    let chosen = match rule.score {
        Score::Sparsemixer => sparsemixer(&l, rule.jitter),
        _ => by_keys(&l, biases, rule),
    };
    chosen
        .into_iter()
        .map(|c| Choice {
            weight: score::route_scale(c.weight, rule.route_scale),
            ..c
        })
        .collect()
}

/// The choices in a token's entries (expert, weight) as the host wrote them, and whether one of them was left out because its
/// expert is none of the layer's `experts` or has been named before.
pub fn host_choices(
    entries: impl Iterator<Item = (u32, u32)>,
    experts: usize,
) -> (Vec<Choice>, bool) {
    let (mut chosen, mut bad) = (Vec::<Choice>::new(), false);
    for (expert, weight) in entries.filter(|e| e.0 != NO_EXPERT) {
        let at = expert as usize;
        if at >= experts || chosen.iter().any(|c| c.expert == at) {
            bad = true;
        } else {
            chosen.push(Choice {
                expert: at,
                weight: weight.min(score::WEIGHT_MAX),
            });
        }
    }
    (chosen, bad)
}

fn by_keys(l: &[i64], biases: &[i32], rule: &Rule) -> Vec<Choice> {
    let bias = |e: usize| {
        if rule.choice_bias {
            i64::from(biases[e])
        } else {
            0
        }
    };
    let all: Vec<usize> = (0..l.len()).collect();
    // e^(L - best) of each, Q1.24
    let exponentials = |best: i64| -> Vec<u32> {
        l.iter()
            .map(|&l| score::exp(best.saturating_sub(l).max(0) as u64))
            .collect()
    };
    let sum = |p: &[u32], of: &[usize]| of.iter().map(|&e| u64::from(p[e])).sum::<u64>();
    let grouped = rule.groups > 1;
    match rule.score {
        Score::Softmax => {
            let p = exponentials(l.iter().copied().max().unwrap_or(0));
            let total = sum(&p, &all);
            let keys: Vec<i64> = if rule.choice_bias || grouped {
                (0..l.len())
                    .map(|e| i64::from(score::share(p[e], total)) + bias(e))
                    .collect()
            } else {
                l.to_vec()
            };
            let chosen = best_keys(&keys, rule);
            let total = if rule.renormalise {
                sum(&p, &chosen)
            } else {
                total
            };
            weighted(&chosen, |e| score::normal(p[e], total))
        }
        Score::Sigmoid => {
            let s: Vec<u32> = l.iter().map(|&l| score::sigmoid(l)).collect();
            let keys: Vec<i64> = (0..l.len()).map(|e| i64::from(s[e]) + bias(e)).collect();
            let chosen = best_keys(&keys, rule);
            let total = sum(&s, &chosen);
            weighted(&chosen, |e| {
                if rule.renormalise {
                    score::normal(s[e], total)
                } else {
                    score::sigmoid_weight(s[e])
                }
            })
        }
        Score::Identity | Score::Sparsemixer => {
            let keys: Vec<i64> = (0..l.len()).map(|e| l[e] + bias(e)).collect();
            let chosen = best_keys(&keys, rule);
            let p = exponentials(chosen.iter().map(|&e| l[e]).max().unwrap_or(0));
            let total = sum(&p, &chosen);
            weighted(&chosen, |e| score::normal(p[e], total))
        }
    }
}

fn weighted(chosen: &[usize], weight: impl Fn(usize) -> u32) -> Vec<Choice> {
    let with = |&expert: &usize| Choice {
        expert,
        weight: weight(expert),
    };
    chosen.iter().map(with).collect()
}

/// The k largest keys of the groups that stay, by falling key, ties to the lowest index.
fn best_keys(keys: &[i64], rule: &Rule) -> Vec<usize> {
    let mut order: Vec<usize> = (0..keys.len()).collect();
    if rule.groups > 1 {
        let size = keys.len() / rule.groups;
        let scores: Vec<i64> = keys
            .chunks(size)
            .map(|group| {
                let mut sorted = group.to_vec();
                sorted.sort_by_key(|&k| Reverse(k));
                sorted[..1 + usize::from(rule.sum2)].iter().sum()
            })
            .collect();
        let mut groups: Vec<usize> = (0..rule.groups).collect();
        groups.sort_by_key(|&g| (Reverse(scores[g]), g));
        groups.truncate(rule.groups_kept);
        order.retain(|e| groups.contains(&(e / size)));
    }
    order.sort_by_key(|&e| (Reverse(keys[e]), e));
    order.truncate(rule.topk);
    order
}

fn sparsemixer(l: &[i64], jitter: u16) -> Vec<Choice> {
    let mut left: Vec<usize> = (0..l.len()).collect();
    let mut chosen = Vec::new();
    for _ in 0..2 {
        let Some(&expert) = left.iter().min_by_key(|&&e| (Reverse(l[e]), e)) else {
            break;
        };
        let best = l[expert];
        let near = left.iter().filter(|&&e| score::is_near(best, l[e], jitter));
        let sum = near
            .map(|&e| u64::from(score::exp((best - l[e]) as u64)))
            .sum();
        chosen.push(Choice {
            expert,
            weight: score::normal(score::P_ONE, sum),
        });
        left.retain(|&e| e != expert);
    }
    chosen
}

#[cfg(test)]
mod tests {
    use super::*;

    const ONE: i64 = 1 << 24;

    fn experts(c: &[Choice]) -> Vec<usize> {
        c.iter().map(|c| c.expert).collect()
    }
    fn weights(c: &[Choice]) -> Vec<u32> {
        c.iter().map(|c| c.weight).collect()
    }

    #[test]
    fn ties_go_to_the_lowest_index() {
        let renormalised = Rule {
            renormalise: true,
            ..Rule::default()
        };
        let c = choose(&[1, 7, 7, 0, 7], -20, &[], &renormalised);
        assert_eq!(experts(&c), [1, 2]);
        assert_eq!(weights(&c), [32768; 2]);
        assert_eq!(
            weights(&choose(&[5; 4], -20, &[], &Rule::default())),
            [16384; 2]
        );
    }

    #[test]
    fn a_choice_bias_moves_the_choice_and_not_the_weight() {
        for score in [Score::Softmax, Score::Sigmoid, Score::Identity] {
            let rule = Rule {
                score,
                choice_bias: true,
                ..Rule::default()
            };
            let l = [ONE, 0, 0, -ONE];
            let c = choose(&l, -24, &[0, 0, 0, 7 << 24], &rule);
            assert_eq!(experts(&c), [3, 0], "{score:?}");
            assert!(c[0].weight < c[1].weight);
            let without = Rule {
                choice_bias: false,
                ..rule
            };
            assert_eq!(
                experts(&choose(&l, -24, &[0, 0, 0, 7 << 24], &without)),
                [0, 1]
            );
        }
    }

    #[test]
    fn sigmoids_stand_alone() {
        let rule = Rule {
            score: Score::Sigmoid,
            ..Rule::default()
        };
        let c = choose(&[0, 40 * ONE, -ONE], -24, &[], &rule);
        assert_eq!(weights(&c), [65536, 32768]);
        let scaled = Rule {
            route_scale: 3 * 4096,
            ..rule
        };
        let c = choose(&[0, 40 * ONE, -ONE], -24, &[], &scaled);
        assert_eq!(weights(&c), [3 * 65536, 3 * 32768]);
    }

    #[test]
    fn the_hosts_entries_are_filtered() {
        let of = |entries: &[(u32, u32)]| host_choices(entries.iter().copied(), 4);
        let (c, bad) = of(&[(3, 7), (NO_EXPERT, 9), (0, u32::MAX)]);
        assert_eq!((experts(&c), bad), (vec![3, 0], false));
        assert_eq!(weights(&c), [7, (1 << 20) - 1]);
        for wrong in [(4, 1), (3, 1), (0x1_0003, 1), (u32::MAX, 1)] {
            let (c, bad) = of(&[(3, 7), wrong, (1, 2)]);
            assert_eq!((experts(&c), bad), (vec![3, 1], true));
        }
    }

    #[test]
    fn groups_limit_the_choice() {
        let rule = Rule {
            score: Score::Sigmoid,
            groups: 2,
            groups_kept: 1,
            ..Rule::default()
        };
        let l = [2 * ONE, -9 * ONE, ONE, ONE];
        assert_eq!(experts(&choose(&l, -24, &[], &rule)), [0, 1]);
        let sum = Rule { sum2: true, ..rule };
        assert_eq!(experts(&choose(&l, -24, &[], &sum)), [2, 3]);
        let softmax = Rule {
            score: Score::Softmax,
            ..sum
        };
        assert_eq!(experts(&choose(&l, -24, &[], &softmax)), [0, 1]);
    }

    #[test]
    fn sparsemixer_masks_what_is_far() {
        let rule = |jitter| Rule {
            score: Score::Sparsemixer,
            jitter,
            ..Rule::default()
        };
        let l = [10 * ONE, 11 * ONE, 11 * ONE, -ONE];
        let alone = choose(&l, -24, &[], &rule(0));
        assert_eq!(experts(&alone), [1, 2]);
        assert_eq!(weights(&alone), [32768, 65536]); // a tie is near; then only 10 and -1 are left, both far
        let wide = choose(&l, -24, &[], &rule(9000)); // 10 is near 11: 1/11 of it
        assert!(wide[0].weight < 32768 && wide[1].weight < 65536 && wide[1].weight > 45000);
    }
}
