//! Files from anywhere: configurations, tensors, tokenizers, packed models, manifests, images, ids and tables that are damaged, or made
//! to do harm. docs/hostile_input.md has the table of targets.

use std::path::{Path, PathBuf};

use host::bitstream::image::Image;
use host::bitstream::Manifest;
use host::model::{read_ids, Model, Tokenizer};
use host::pack::{pack, Options, PackedLayer};
use host::predict::Tables;
use host::runtime::Decoder;
use system_tests::hostile::targets::{
    CONFIG, IDS, IMAGE, INDEX, MANIFEST, PACKED, SAFETENSORS, TABLES, TOKENIZER,
};
use system_tests::hostile::{alone, bits, mutate, page, Counting};
use unit_tests::synth::root;

#[global_allocator]
static COUNTING: Counting = Counting;

/// A directory that is gone after the test.
struct Scratch(PathBuf);

impl Scratch {
    fn new(name: &str) -> Scratch {
        // In memory, if there is such a place: every case is a file.
        let memory = PathBuf::from("/dev/shm");
        let place = if memory.is_dir() {
            memory
        } else {
            std::env::temp_dir()
        };
        let dir = place.join(format!("hostile-{}-{name}", std::process::id()));
        std::fs::create_dir_all(&dir).unwrap();
        Scratch(dir)
    }

    /// A copy of a fixture.
    fn model(name: &str, family: &str) -> Scratch {
        let scratch = Scratch::new(name);
        for entry in std::fs::read_dir(fixture(family)).unwrap() {
            let path = entry.unwrap().path();
            std::fs::copy(&path, scratch.path(path.file_name().unwrap())).unwrap();
        }
        scratch
    }

    fn path(&self, name: impl AsRef<Path>) -> PathBuf {
        self.0.join(name)
    }

    fn write(&self, name: &str, bytes: &[u8]) -> PathBuf {
        let path = self.path(name);
        std::fs::write(&path, bytes).unwrap();
        path
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

const FAMILIES: [&str; 3] = ["mixtral", "olmoe", "qwen2_moe"];

fn fixture(family: &str) -> PathBuf {
    root().join("tests/fixtures/models").join(family)
}

fn bytes(path: &Path) -> Vec<u8> {
    std::fs::read(path).unwrap_or_else(|e| panic!("{}: {e}", path.display()))
}

/// An error is said, with its causes, as a program says it.
fn said<T, E: std::error::Error + 'static>(result: Result<T, E>) -> Option<T> {
    result
        .map_err(|e| {
            let mut cause: Option<&dyn std::error::Error> = Some(&e);
            while let Some(e) = cause {
                assert!(!e.to_string().is_empty());
                cause = e.source();
            }
        })
        .ok()
}

/// Everything that is read of a model before its first token.
fn opened(dir: &Path) -> bool {
    let Some(model) = said(Model::open(dir)) else {
        return false;
    };
    let whole = said(Decoder::open(&model)).is_some();
    let _ = said(model.end_tokens());
    for at in [0, 1] {
        let _ = said(model.router(at));
        let _ = said(model.expert(at, 0));
        let _ = said(model.shared(at));
    }
    whole
}

#[test]
fn configurations() {
    let _one = alone();
    let scratch = Scratch::model("config", "mixtral");
    // The families differ in their tensors, so only the one's decoder can be opened.
    let seeds: Vec<_> = FAMILIES
        .map(|f| bytes(&fixture(f).join("config.json")))
        .into();
    CONFIG.run(&seeds, |input| {
        scratch.write("config.json", input);
        scratch.write("generation_config.json", input);
        opened(&scratch.0);
        said(Model::open(&scratch.0)).is_some()
    });
}

#[test]
fn shard_indexes() {
    let _one = alone();
    let scratch = Scratch::model("index", "qwen2_moe");
    let name = "model.safetensors.index.json";
    INDEX.run(&[bytes(&scratch.path(name))], |input| {
        scratch.write(name, input);
        opened(&scratch.0)
    });
}

#[test]
fn tensor_files() {
    let _one = alone();
    let scratch = Scratch::model("safetensors", "mixtral");
    let name = "model.safetensors";
    SAFETENSORS.run(&[bytes(&scratch.path(name))], |input| {
        scratch.write(name, input);
        opened(&scratch.0)
    });
}

/// The checksum in `config.json` is made right: whoever makes a damaged file can make its checksum.
#[test]
fn packed_models() {
    let _one = alone();
    let scratch = Scratch::new("packed");
    let model = Model::open(&fixture("mixtral")).unwrap();
    let dir = scratch.path("model");
    pack(&model, &dir, &Options::default()).unwrap();
    let config = String::from_utf8(bytes(&dir.join("config.json"))).unwrap();
    let (before, rest) = config.split_once("\"fnv1a64:").unwrap();
    let (_, after) = rest.split_once('"').unwrap();
    let seed = bytes(&dir.join("model.safetensors"));
    PACKED.run(&[seed], |input| {
        std::fs::write(dir.join("model.safetensors"), input).unwrap();
        std::fs::write(dir.join("config.json"), &config).unwrap();
        if let Err(e) = Model::open(&dir) {
            if let Some((_, found)) = e.to_string().split_once("checksum is ") {
                let found = found.split(',').next().unwrap();
                std::fs::write(
                    dir.join("config.json"),
                    format!("{before}\"{found}\"{after}"),
                )
                .unwrap();
            }
        }
        let Some(model) = said(Model::open(&dir)) else {
            return false;
        };
        let packed = model.packed.unwrap();
        let layers = (0..model.spec.layers.len())
            .all(|at| said(PackedLayer::of(&model, at, &packed.options)).is_some());
        opened(&dir) && layers
    });
}

#[test]
fn tokenizers() {
    let _one = alone();
    let scratch = Scratch::new("tokenizer");
    let seeds: Vec<_> = FAMILIES
        .map(|f| bytes(&fixture(f).join("tokenizer.json")))
        .into();
    TOKENIZER.run(&seeds, |input| {
        let path = scratch.write("tokenizer.json", input);
        let Some(tokenizer) = said(Tokenizer::open(&path)) else {
            return false;
        };
        let ids = said(tokenizer.encode("In the beginning, Zürich: 日本語 ⛪ 1234  \n", true));
        let _ = said(tokenizer.decode(&ids.unwrap_or_default()));
        let _ = said(tokenizer.decode(&[0, 1, 319, u32::MAX]));
        true
    });
}

#[test]
fn manifests() {
    let _one = alone();
    let scratch = Scratch::new("manifest");
    let sim = String::from_utf8(bytes(&root().join("bitstreams/sim.toml"))).unwrap();
    let built = format!(
        "{sim}\n[image]\nidcode = \"81112043\"\nusercode = \"52480001\"\nsha256 = \"00\"\nload = \"openFPGALoader x.bit\"\n"
    );
    MANIFEST.run(&[sim.into_bytes(), built.into_bytes()], |input| {
        let path = scratch.write("x.toml", input);
        let manifest = said(Manifest::open(Some(&path)));
        for way in manifest.iter().flat_map(|m| &m.device) {
            let _ = device::Way::parse(way);
        }
        manifest.is_some()
    });
}

#[test]
fn images() {
    let _one = alone();
    IMAGE.run(&[bits::lattice(), bits::xilinx()], |input| {
        Image::parse(input).is_ok()
    });
}

#[test]
fn token_ids() {
    let _one = alone();
    let scratch = Scratch::new("ids");
    let header = br#"{"__metadata__":{"a":"b"},"input_ids":{"dtype":"I32","shape":[5],"data_offsets":[0,20]},"x":{"dtype":"F32","shape":[2,1],"data_offsets":[20,28]}}"#;
    let seed = mutate::joined(header, &[0; 28]);
    IDS.run(&[seed], |input| {
        said(read_ids(&scratch.write("ids", input))).is_some()
    });
}

#[test]
fn prediction_tables() {
    let _one = alone();
    let scratch = Scratch::new("tables");
    let seed = r#"{"experts":2,"circular":[[[1,0],[0,1]],[[0],[1,0]]],"usual":[[0,1],[1]],"tokens":{"0":[[1],[0]],"7":[[0,1],[1,0]],"40000":[[],[0,1]]}}"#;
    TABLES.run(&[seed.into()], |input| {
        let tables = said(Tables::load(&scratch.write("tables.json", input), 2, 2));
        if let Some(tables) = &tables {
            for (layer, token) in [(0, 0), (1, 7), (1, 8)] {
                tables.by_token(token, layer);
                tables.following(layer, &[0, 1]);
            }
        }
        tables.is_some()
    });
}

#[test]
fn the_page_has_the_table() {
    let [page, wanted] = page::filled().unwrap();
    assert!(
        page == wanted,
        "docs/hostile_input.md is stale: run `make plan`"
    );
}
