//! What models run on: the setting, the fall-back to the CPU, a second execution provider (Intel's OpenVINO, on the CPU too),
//! and waiting for a place on a device. No GPU is needed.

use std::fs::{self, File, Permissions};
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;
use std::thread;
use std::time::Duration;

use sql_tests::{
    Client, ClientExt, Database, Notices, Scratch, SqlState, Stop, clip, openvino, stop,
};

const DETECTOR: &str = "SELECT runs_on FROM ai_audio_models WHERE name = 'silero_vad_v6'";
const SPEAKER: &str = "SELECT runs_on FROM ai_audio_models WHERE name = 'campplus_zh_en'";

fn said(notices: &Notices) -> Vec<String> {
    let notices = notices.lock().expect("not poisoned");
    notices.iter().map(|n| n.message().to_string()).collect()
}

#[test]
fn a_device_that_is_not_there_is_told_once_and_the_cpu_works() {
    let database = Database::new();
    let embed = format!("SELECT ai_audio_embed('{}')::text", clip("june-1.wav"));
    let right: String = database.connect().value(&embed);
    let (mut client, notices) = database.connect_noting();
    client.run("LOAD 'ai_audio'; SET ai_audio.execution_provider = 'cuda'");
    for _ in 0..2 {
        assert_eq!(client.value::<String>(&embed), right);
    }
    client.run("SELECT ai_audio_warmup('silero_vad_v6')");
    let told = said(&notices);
    assert_eq!(told.len(), 1, "{told:?}");
    assert!(
        told[0].contains("\"cuda\"") && told[0].contains("CUDAExecutionProvider"),
        "{told:?}"
    );
    assert_eq!(client.value::<String>(SPEAKER), "cpu");
    let place: String = client.value("SELECT runs_on FROM ai_audio_version()");
    assert!(
        place.starts_with("cpu: ") && place.contains("CUDAExecutionProvider"),
        "{place}"
    );
}

#[test]
fn auto_takes_the_cpu_where_there_is_nothing_else_and_says_nothing() {
    let database = Database::new();
    let (mut client, notices) = database.connect_noting();
    client.run("LOAD 'ai_audio'; SET ai_audio.execution_provider = 'auto'");
    client.run("SELECT ai_audio_warmup()");
    assert_eq!(client.value::<String>(SPEAKER), "cpu");
    assert_eq!(
        client.value::<String>("SELECT runs_on FROM ai_audio_version()"),
        "cpu"
    );
    assert_eq!(said(&notices), Vec::<String>::new());
}

#[test]
fn settings_that_cannot_be_are_refused() {
    let database = Database::new();
    let mut client = database.connect();
    client.run("LOAD 'ai_audio'");
    let wrong = SqlState::INVALID_PARAMETER_VALUE;
    client.fails(
        "SET ai_audio.execution_provider = 'abacus'",
        wrong.clone(),
        &["abacus", "cpu, openvino, cuda, auto"],
    );
    for (options, why) in [("device_id", "key=value"), ("{\"a\": ", "JSON")] {
        client.fails(
            &format!("SET ai_audio.execution_provider_options = '{options}'"),
            wrong.clone(),
            &[why],
        );
    }
    client.run("SET ai_audio.execution_provider_options = 'device_id=1, gpu_mem_limit=1000000'");
    client.run("SET ai_audio.execution_provider_options = '{\"load_config\": {\"CPU\": {}}}'");
    let role = database.role("");
    let mut other = database.connect_as(role.name());
    other.run("SELECT ai_audio_version()"); // loads the library, which knows the settings
    for setting in [
        "execution_provider = 'cuda'",
        "execution_provider_options = 'a=b'",
        "device_sessions = 1",
    ] {
        other.fails(
            &format!("SET ai_audio.{setting}"),
            SqlState::INSUFFICIENT_PRIVILEGE,
            &[],
        );
    }
}

/// A session on OpenVINO, and what it is told; none where `make test` did not fetch it.
fn on_openvino(database: &Database, options: &str) -> Option<(Client, Notices)> {
    let library = openvino()?;
    let (mut client, notices) = database.connect_noting();
    client.run(&format!(
        "LOAD 'ai_audio'; SET ai_audio.onnxruntime_library = '{library}'; SET ai_audio.execution_provider = 'openvino';
         SET ai_audio.execution_provider_options = '{options}'"
    ));
    Some((client, notices))
}

/// Reference: ONNX Runtime's own kernels. In single precision a cosine of at least 0.99999; whole answers are equal.
#[test]
fn openvino_gives_the_answers_of_the_cpu() {
    let database = Database::new();
    let Some((mut client, notices)) = on_openvino(&database, "") else {
        return;
    };
    let mut cpu = database.connect();
    for name in ["june-1.wav", "diane-2.wav"] {
        let right: String = cpu.value(&format!("SELECT ai_audio_embed('{}')::text", clip(name)));
        let same: f64 = client.value(&format!(
            "SELECT cosine_similarity(ai_audio_embed('{}'), '{right}'::vector)",
            clip(name)
        ));
        assert!(same >= 0.99999, "{name}: {same}");
    }
    for question in [
        format!(
            "SELECT string_agg(concat_ws(' ', start_time, end_time, speaker_id), ',' ORDER BY start_time) FROM ai_audio_diarize('{}', '{{end_time: 15000}}')",
            clip("conversation.wav")
        ),
        format!("SELECT ai_audio_transcribe('{}')", clip("june-1.wav")),
    ] {
        assert_eq!(
            client.value::<String>(&question),
            cpu.value::<String>(&question)
        );
    }
    assert_eq!(client.value::<String>(SPEAKER), "openvino");
    // Its int8 products have kernels on the CPU only.
    let whisper = "SELECT runs_on FROM ai_audio_models WHERE name = 'whisper-base'";
    assert_eq!(client.value::<String>(whisper), "cpu");
    assert_eq!(
        client.value::<String>("SELECT runs_on FROM ai_audio_version()"),
        "openvino"
    );
    assert_eq!(said(&notices), Vec::<String>::new());
}

/// bf16, where the processor has it: a cosine of at least 0.999. One that lacks it computes in single precision.
#[test]
fn half_precision_stays_close() {
    let database = Database::new();
    let bf16 = r#"{"load_config": {"CPU": {"INFERENCE_PRECISION_HINT": "bf16"}}}"#;
    let Some((mut client, notices)) = on_openvino(&database, bf16) else {
        return;
    };
    let june = clip("june-1.wav");
    let right: String = database
        .connect()
        .value(&format!("SELECT ai_audio_embed('{june}')::text"));
    let same: f64 = client.value(&format!(
        "SELECT cosine_similarity(ai_audio_embed('{june}'), '{right}'::vector)"
    ));
    assert!(same >= 0.999, "{same}");
    assert_eq!(client.value::<String>(SPEAKER), "openvino");
    assert_eq!(said(&notices), Vec::<String>::new());
}

#[test]
fn options_that_a_provider_does_not_know_are_told_and_the_cpu_works() {
    let database = Database::new();
    let Some((mut client, notices)) = on_openvino(&database, "colour=blue") else {
        return;
    };
    client.run("SELECT ai_audio_warmup('silero_vad_v6')");
    assert_eq!(client.value::<String>(DETECTOR), "cpu");
    let told = said(&notices);
    assert!(
        told.len() == 1 && told[0].contains("\"openvino\""),
        "{told:?}"
    );
}

#[test]
fn an_idle_session_leaves_the_device() {
    let database = Database::new();
    let Some((mut client, _)) = on_openvino(&database, "") else {
        return;
    };
    client.run("SET ai_audio.keep_models = '1s'; SELECT ai_audio_warmup('silero_vad_v6')");
    let mut waited = 0;
    while client.value::<Option<String>>(DETECTOR).is_some() {
        waited += 1;
        assert!(waited < 300, "its model is still loaded");
        thread::sleep(Duration::from_millis(100));
    }
}

/// The only place on the device is taken by this test, as another session would take it. HETERO stands for a device: it is one
/// to OpenVINO, and leaves all to the CPU.
#[test]
fn sessions_wait_for_a_place_and_can_be_stopped_meanwhile() {
    let database = Database::new();
    let Some(library) = openvino() else {
        return;
    };
    let scratch = Scratch::new();
    let cache = scratch.path("cache");
    fs::set_permissions(scratch.path("."), Permissions::from_mode(0o777)).expect("permissions");
    let setup = format!(
        "LOAD 'ai_audio'; SET ai_audio.onnxruntime_library = '{library}'; SET ai_audio.execution_provider = 'openvino';
         SET ai_audio.execution_provider_options = 'device_type=HETERO:CPU'; SET ai_audio.device_sessions = 1; SET ai_audio.cache_dir = '{}'",
        cache.display()
    );
    let mut client = database.connect();
    client.run(&setup);
    let listen = format!(
        "SELECT count(*) FROM ai_audio_vad('{}')",
        clip("june-1.wav")
    );
    let right: i64 = client.value(&listen);
    let place: PathBuf = cache.join("device-openvino-HETEROCPU.0");
    let held = File::open(&place).expect("the place's file");
    held.lock().expect("the place");
    for how in [Stop::StatementTimeout, Stop::Cancel, Stop::Terminate] {
        stop(&database, &setup, &listen, how, Duration::from_millis(500)).assert_prompt(how);
    }
    let answer = thread::spawn(move || client.value::<i64>(&listen));
    thread::sleep(Duration::from_millis(300));
    assert!(!answer.is_finished(), "it waits");
    held.unlock().expect("given back");
    assert_eq!(answer.join().expect("an answer"), right);
}
