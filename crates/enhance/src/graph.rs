//! A network that goes on where it stopped: the inputs of its graph that are no data are states, zeros at the beginning of a
//! recording, then the outputs of the run before, named `NAME_next`.

use std::path::Path;

use onnx::{Cancel, Error, Session};
use ort::session::SessionInputValue;
use ort::value::{Outlet, TensorRef};

pub struct Graph {
    session: Session,
    data: &'static [&'static str],
    results: &'static [&'static str],
    states: Vec<State>,
}

struct State {
    name: String,
    shape: Vec<i64>,
    values: Vec<f32>,
}

/// An input: its shape and its values.
pub type Data<'a> = (Vec<usize>, &'a [f32]);

impl Graph {
    /// A session whose graph takes `data` and gives `results`.
    ///
    /// # Errors
    /// [`Error::Model`] if it does not, or if a state has no fixed shape or no successor.
    pub fn new(
        session: Session,
        path: &Path,
        data: &'static [&'static str],
        results: &'static [&'static str],
    ) -> Result<Self, Error> {
        let gives = |name: &str| session.outputs().iter().any(|o| o.name() == name);
        if let Some(missing) = results.iter().find(|name| !gives(name)) {
            return Err(Error::model(path, format!("it has no output {missing}")));
        }
        let states = session.inputs().iter().map(|input| {
            let name = input.name();
            match shape(input) {
                Some(shape) if gives(&format!("{name}_next")) => Ok(State {
                    values: vec![0.0; shape.iter().product::<i64>() as usize],
                    name: name.into(),
                    shape,
                }),
                _ => Err(Error::model(
                    path,
                    format!("input {name} is no state of fixed shape with an output {name}_next"),
                )),
            }
        });
        let states = states.skip(data.len()).collect::<Result<_, _>>()?;
        Ok(Self {
            session,
            data,
            results,
            states,
        })
    }

    /// Whether a graph's data are these.
    pub fn takes(session: &Session, data: &[&str]) -> bool {
        let names = session.inputs().iter().map(Outlet::name);
        names.take(data.len()).eq(data.iter().copied())
    }

    /// Forgets what it heard.
    pub fn begin(&mut self) {
        for state in &mut self.states {
            state.values.fill(0.0);
        }
    }

    /// The results, each of as many values as `lengths` says.
    ///
    /// # Errors
    /// [`Error::Cancelled`], [`Error::Inference`].
    pub fn run<const N: usize>(
        &mut self,
        data: &[Data],
        lengths: [usize; N],
        cancel: &Cancel,
    ) -> Result<[Vec<f32>; N], Error> {
        let mut inputs: Vec<(&str, SessionInputValue)> = Vec::new();
        for (name, (shape, values)) in self.data.iter().zip(data) {
            let tensor = TensorRef::from_array_view((shape.as_slice(), *values))?;
            inputs.push((name, tensor.into()));
        }
        for state in &self.states {
            let view = (state.shape.as_slice(), state.values.as_slice());
            inputs.push((&state.name, TensorRef::from_array_view(view)?.into()));
        }
        let outputs = self.session.run::<0>(inputs, cancel)?;
        let read = |name: &str, to: &mut Vec<f32>, length: usize| -> Result<(), Error> {
            let wrong = || Error::Inference(format!("the model's output {name} has a wrong size"));
            let values = outputs.get(name).ok_or_else(wrong)?;
            let (_, values) = values.try_extract_tensor::<f32>()?;
            if values.len() != length {
                return Err(wrong());
            }
            to.clear();
            to.extend_from_slice(values);
            Ok(())
        };
        let mut results = [const { Vec::new() }; N];
        for ((name, result), length) in self.results.iter().zip(&mut results).zip(lengths) {
            read(name, result, length)?;
        }
        for state in &mut self.states {
            let length = state.values.len();
            read(&format!("{}_next", state.name), &mut state.values, length)?;
        }
        Ok(results)
    }
}

/// The shape of an input, if all of it is fixed.
fn shape(input: &Outlet) -> Option<Vec<i64>> {
    let shape = input.dtype().tensor_shape()?;
    shape.iter().all(|&d| d > 0).then(|| shape.to_vec())
}
