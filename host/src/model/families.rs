//! How each family spells its configuration. A family is one small function from a [`Config`] and a layer number to a [`Layer`].

use super::spec::{Attention, Ffn, Layer, Moe, Rope, Router, Shared, Spec};
use super::{Config, Error};

/// More layers than this is a damaged file.
const MAX_LAYERS: usize = 1000;

type LayerOf = fn(&Config, usize) -> Result<Layer, Error>;

/// What differs between families outside their layers: the defaults of keys that old files leave out.
struct Family {
    name: &'static str,
    norm_eps: f64,
    rope_theta: f64,
    layer: LayerOf,
}

const FAMILIES: &[Family] = &[
    Family {
        name: "mixtral",
        norm_eps: 1e-5,
        rope_theta: 1e6,
        layer: mixtral,
    },
    Family {
        name: "olmoe",
        norm_eps: 1e-5,
        rope_theta: 1e4,
        layer: olmoe,
    },
    Family {
        name: "qwen2_moe",
        norm_eps: 1e-6,
        rope_theta: 1e4,
        layer: qwen2_moe,
    },
];

/// `model_type` of every family this version runs.
pub fn supported() -> Vec<&'static str> {
    FAMILIES.iter().map(|f| f.name).collect()
}

/// The model that a configuration describes; fails for unknown families and for values that cannot be.
pub fn spec(c: &Config) -> Result<Spec, Error> {
    let name = c.text(&["model_type"])?;
    let Some(family) = FAMILIES.iter().find(|f| f.name == name) else {
        return Err(Error::UnsupportedFamily {
            family: name.to_owned(),
            supported: supported(),
        });
    };
    let activation = c.text_opt(&["hidden_act"])?.unwrap_or("silu");
    if activation != "silu" {
        return Err(c.wrong(format!(
            "`hidden_act` is `{activation}`; this version computes `silu` only"
        )));
    }
    let count = c.size(&["num_hidden_layers"])?;
    if count > MAX_LAYERS {
        return Err(c.wrong(format!(
            "`num_hidden_layers` is {count}, but at most {MAX_LAYERS} can be"
        )));
    }
    let layers = (0..count)
        .map(|at| (family.layer)(c, at))
        .collect::<Result<_, _>>()?;
    Ok(Spec {
        family: name.to_owned(),
        vocab: c.size(&["vocab_size"])?,
        hidden: c.size(&["hidden_size"])?,
        norm_eps: c.number_opt(&["rms_norm_eps"])?.unwrap_or(family.norm_eps) as f32,
        context: c.size(&["max_position_embeddings"])?,
        tied_head: c.flag_or("tie_word_embeddings", false)?,
        start_token: c.ids("bos_token_id")?.first().copied(),
        end_tokens: c.ids("eos_token_id")?,
        rope: rope(c, family.rope_theta)?,
        layers,
    })
}

fn mixtral(c: &Config, _at: usize) -> Result<Layer, Error> {
    let attention = Attention {
        window: c.count_or(&["sliding_window"], 0).map(nonzero)?,
        ..attention(c)?
    };
    Ok(Layer {
        attention,
        ffn: Ffn::Moe(moe(c, &["intermediate_size"], true, None)?),
    })
}

fn olmoe(c: &Config, _at: usize) -> Result<Layer, Error> {
    let bias = c.flag_or("attention_bias", false)?;
    let clip = c.number_opt(&["clip_qkv"])?.map(|clip| clip as f32);
    if clip.is_some_and(|clip| clip <= 0.0) {
        return Err(c.wrong("`clip_qkv` must be positive or null"));
    }
    let attention = Attention {
        qkv_bias: bias,
        out_bias: bias,
        qk_norm: true,
        clip,
        ..attention(c)?
    };
    let renormalise = c.flag_or("norm_topk_prob", false)?;
    Ok(Layer {
        attention,
        ffn: Ffn::Moe(moe(c, &["intermediate_size"], renormalise, None)?),
    })
}

fn qwen2_moe(c: &Config, at: usize) -> Result<Layer, Error> {
    let attention = Attention {
        qkv_bias: c.flag_or("qkv_bias", true)?,
        window: qwen_window(c, at)?,
        ..attention(c)?
    };
    let step = c.size_opt(&["decoder_sparse_step"])?.unwrap_or(1);
    let dense = !(at + 1).is_multiple_of(step) || c.layers("mlp_only_layers")?.contains(&at);
    let ffn = if dense {
        Ffn::Dense {
            width: c.size(&["intermediate_size"])?,
        }
    } else {
        let shared = Shared {
            width: c.size(&["shared_expert_intermediate_size"])?,
        };
        Ffn::Moe(moe(
            c,
            &["moe_intermediate_size"],
            c.flag_or("norm_topk_prob", false)?,
            Some(shared),
        )?)
    };
    Ok(Layer { attention, ffn })
}

/// Qwen's window: only under `use_sliding_window`, in the layers that `layer_types` names, or, in older files,
/// from `max_window_layers` up.
fn qwen_window(c: &Config, at: usize) -> Result<Option<usize>, Error> {
    if !c.flag_or("use_sliding_window", false)? {
        return Ok(None);
    }
    let windowed = match c.texts("layer_types")? {
        Some(types) => match types.get(at) {
            Some(&"sliding_attention") => true,
            Some(&"full_attention") => false,
            Some(other) => {
                return Err(c.wrong(format!(
                    "`layer_types` names `{other}`, which is not supported"
                )))
            }
            None => return Err(c.wrong(format!("`layer_types` has no entry for layer {at}"))),
        },
        None => at >= c.count_or(&["max_window_layers"], 28)?,
    };
    Ok(if windowed {
        nonzero(c.count_or(&["sliding_window"], 4096)?)
    } else {
        None
    })
}

fn nonzero(n: usize) -> Option<usize> {
    (n > 0).then_some(n)
}

/// Heads, and nothing optional.
fn attention(c: &Config) -> Result<Attention, Error> {
    let heads = c.size(&["num_attention_heads"])?;
    let kv_heads = c.size_opt(&["num_key_value_heads"])?.unwrap_or(heads);
    let hidden = c.size(&["hidden_size"])?;
    let head_dim = match c.size_opt(&["head_dim"])? {
        Some(dim) => dim,
        None if hidden % heads == 0 => hidden / heads,
        None => {
            return Err(c.wrong(format!(
                "`hidden_size` {hidden} is not a multiple of {heads} heads"
            )))
        }
    };
    if heads % kv_heads != 0 {
        return Err(c.wrong(format!(
            "{heads} heads cannot share {kv_heads} key and value heads evenly"
        )));
    }
    if head_dim % 2 != 0 {
        return Err(c.wrong(format!(
            "`head_dim` is {head_dim}, but rotary embedding needs an even number"
        )));
    }
    let plain = Attention {
        heads,
        kv_heads,
        head_dim,
        qkv_bias: false,
        out_bias: false,
        qk_norm: false,
        clip: None,
        window: None,
    };
    Ok(plain)
}

fn moe(
    c: &Config,
    width: &[&str],
    renormalise: bool,
    shared: Option<Shared>,
) -> Result<Moe, Error> {
    let experts = c.size(&[
        "num_experts",
        "num_local_experts",
        "n_routed_experts",
        "moe_num_experts",
    ])?;
    let top_k = c.size(&["num_experts_per_tok", "moe_top_k", "moe_topk", "moe_k"])?;
    if top_k > experts {
        return Err(c.wrong(format!(
            "{top_k} experts per token cannot be chosen from {experts}"
        )));
    }
    Ok(Moe {
        experts,
        width: c.size(width)?,
        router: Router { top_k, renormalise },
        shared,
    })
}

/// New files have `rope_parameters`, older ones `rope_theta` and `rope_scaling`.
fn rope(c: &Config, default_theta: f64) -> Result<Rope, Error> {
    let kinds = [
        "rope_parameters.rope_type",
        "rope_parameters.type",
        "rope_scaling.rope_type",
        "rope_scaling.type",
    ];
    let kind = c.text_opt(&kinds)?.unwrap_or("default");
    if kind != "default" {
        return Err(c.wrong(format!(
            "rotary embedding of type `{kind}` is not supported; supported: default"
        )));
    }
    let theta = c
        .number_opt(&["rope_parameters.rope_theta", "rope_theta"])?
        .unwrap_or(default_theta);
    if theta <= 0.0 {
        return Err(c.wrong(format!("`rope_theta` is {theta}, but must be positive")));
    }
    Ok(Rope { theta })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn config(json: &str) -> Config {
        let dir =
            std::env::temp_dir().join(format!("host-families-{}-{:p}", std::process::id(), json));
        std::fs::write(&dir, json).unwrap();
        let config = Config::read(&dir).unwrap();
        std::fs::remove_file(&dir).unwrap();
        config
    }

    const QWEN: &str = r#""model_type":"qwen2_moe","vocab_size":16,"hidden_size":8,"num_attention_heads":2,
        "max_position_embeddings":32,"num_hidden_layers":4,"num_experts":4,"num_experts_per_tok":2,
        "intermediate_size":24,"moe_intermediate_size":8,"shared_expert_intermediate_size":12"#;

    #[test]
    fn old_and_new_rope_spellings_agree() {
        let old = spec(&config(&format!(
            r#"{{{QWEN},"rope_theta":500.0,"rope_scaling":null}}"#
        )))
        .unwrap();
        let new =
            format!(r#"{{{QWEN},"rope_parameters":{{"rope_type":"default","rope_theta":500.0}}}}"#);
        assert_eq!(old, spec(&config(&new)).unwrap());
        assert_eq!(old.rope.theta, 500.0);
    }

    #[test]
    fn scaled_rope_is_refused_by_name() {
        let text = format!(r#"{{{QWEN},"rope_scaling":{{"type":"yarn","factor":4}}}}"#);
        let message = spec(&config(&text)).unwrap_err().to_string();
        assert!(message.contains("`yarn`"), "{message}");
    }

    #[test]
    fn qwen_mixes_dense_and_sparse_layers() {
        let text = format!(r#"{{{QWEN},"decoder_sparse_step":2,"mlp_only_layers":[3]}}"#);
        let spec = spec(&config(&text)).unwrap();
        let sparse: Vec<_> = spec.moe_layers().map(|(at, _)| at).collect();
        assert_eq!(sparse, [1]);
        assert_eq!(spec.layers[3].ffn, Ffn::Dense { width: 24 });
    }

    #[test]
    fn qwen_window_needs_its_flag() {
        let windows = |more: &str| -> Vec<_> {
            let spec = spec(&config(&format!("{{{QWEN},{more}}}"))).unwrap();
            spec.layers.iter().map(|l| l.attention.window).collect()
        };
        assert_eq!(
            windows(r#""sliding_window":0,"use_sliding_window":false"#),
            [None; 4]
        );
        let old = windows(r#""sliding_window":6,"use_sliding_window":true,"max_window_layers":2"#);
        assert_eq!(old, [None, None, Some(6), Some(6)]);
        let new = windows(
            r#""sliding_window":6,"use_sliding_window":true,"layer_types":
            ["sliding_attention","full_attention","full_attention","sliding_attention"]"#,
        );
        assert_eq!(new, [Some(6), None, None, Some(6)]);
    }

    #[test]
    fn impossible_values_are_named() {
        for (more, part) in [
            (r#""num_experts_per_tok":5"#, "5 experts per token"),
            (r#""num_key_value_heads":3"#, "3 key and value heads"),
            (r#""head_dim":7"#, "`head_dim` is 7"),
            (r#""vocab_size":-1"#, "`vocab_size` is -1"),
            (r#""hidden_act":"gelu""#, "`gelu`"),
            (r#""num_hidden_layers":2000000"#, "2000000"),
        ] {
            let text = format!("{{{QWEN},{more}}}");
            let message = spec(&config(&text)).unwrap_err().to_string();
            assert!(message.contains(part), "{message}");
        }
    }
}
