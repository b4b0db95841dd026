//! The segmentation network as it runs here, against numbers of its authors' PyTorch code (`crates/testing/golden`, made by
//! `models/golden.py`). Needs AI_AUDIO_MODELS and AI_AUDIO_ORT (`make -s test-env`), and the clips in target/speech.

use onnx::{Cancel, Session};
use ort::value::TensorRef;
use testing::{golden, numbers, open, samples};

#[test]
fn who_speaks_in_ten_seconds_is_what_the_reference_says() {
    let mut session = open("pyannote_segmentation_3.onnx", Session::open);
    let entry = &golden("segmentation")["segmentation"];
    let samples = samples(entry);
    let input = TensorRef::from_array_view(([1, 1, samples.len()], samples.as_slice())).unwrap();
    let outputs = session
        .run(ort::inputs!["samples" => input], &Cancel::new())
        .unwrap();
    let (shape, values) = outputs[0].try_extract_tensor::<f32>().unwrap();
    assert_eq!(shape[..], [1, 589, 7]);
    let frames: Vec<&[f32]> = values.chunks(7).collect();
    let best = |frame: &[f32]| {
        (0..7)
            .max_by(|a, b| frame[*a].total_cmp(&frame[*b]))
            .unwrap()
    };
    let classes: String = frames.iter().map(|f| best(f).to_string()).collect();
    assert_eq!(classes, entry["classes"].as_str().unwrap());
    let every = entry["every"].as_u64().unwrap() as usize;
    for (frame, wanted) in frames
        .iter()
        .step_by(every)
        .zip(entry["log_probabilities"].as_array().unwrap())
    {
        for (got, wanted) in frame.iter().zip(numbers::<f32>(wanted)) {
            assert!(
                (got.exp() - wanted.exp()).abs() < 1e-3,
                "probability {} instead of {}",
                got.exp(),
                wanted.exp()
            );
        }
    }
}
