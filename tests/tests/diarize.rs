//! Who spoke when, through SQL: turns, names from a library, clips, calls with a side per channel, and what goes wrong.

use sql_tests::{Client, ClientExt, Database, Scratch, SqlState, clip, root, wav};

/// A turn: speaker, start, end.
type Turn = (i32, i32, i32);

fn turns(client: &mut Client, call: &str) -> Vec<Turn> {
    let rows = client.query(
        &format!("SELECT speaker_id, start_time, end_time FROM {call}"),
        &[],
    );
    let rows = rows.unwrap_or_else(|e| panic!("{e} in {call}"));
    rows.iter()
        .map(|r| (r.get(0), r.get(1), r.get(2)))
        .collect()
}

fn conversation() -> String {
    clip("conversation.wav")
}

#[test]
fn a_conversation_of_two() {
    let database = Database::new();
    let mut client = database.connect();
    let call = format!("ai_audio_diarize('{}')", conversation());
    let all = turns(&mut client, &call);
    let mut speakers: Vec<i32> = all.iter().map(|t| t.0).collect();
    assert_eq!(speakers[0], 0, "numbered as they appear");
    speakers.sort_unstable();
    speakers.dedup();
    assert_eq!(speakers, [0, 1]);
    assert!(all.windows(2).all(|t| t[0].1 <= t[1].1), "in order of time");
    assert!(all.iter().all(|t| t.1 < t.2 && t.2 <= 30_100));
    // At 13 s it is Diane, at 25 s Sheila (the recording's transcript).
    let at = |ms: i32| all.iter().find(|t| t.1 <= ms && ms < t.2).map(|t| t.0);
    assert!(at(13_000).is_some() && at(25_000).is_some() && at(13_000) != at(25_000));
    assert_eq!(turns(&mut client, &call), all, "the same again");
    let bytes = format!(
        "ai_audio_diarize(pg_read_binary_file('{}'))",
        conversation()
    );
    assert_eq!(
        turns(&mut client, &bytes),
        all,
        "a bytea is as good as a file"
    );
    let one_voice: i64 = client.value(&format!(
        "SELECT count(*) FROM (SELECT speaker_id FROM {call} GROUP BY 1 HAVING count(DISTINCT embedding::text) > 1) x"
    ));
    assert_eq!(one_voice, 0, "a speaker has one embedding");
    let ranges: bool = client.value(&format!(
        "SELECT bool_and(confidence BETWEEN 0 AND 1 AND name IS NULL) FROM {call}"
    ));
    assert!(ranges);
}

#[test]
fn the_exclusive_track_has_one_speaker_at_a_time() {
    let database = Database::new();
    let mut client = database.connect();
    let all = turns(
        &mut client,
        &format!(
            "ai_audio_diarize('{}', '{{exclusive: true}}')",
            conversation()
        ),
    );
    assert!(all.windows(2).all(|t| t[0].2 <= t[1].1), "{all:?}");
}

#[test]
fn a_selection_keeps_the_recordings_times() {
    let database = Database::new();
    let mut client = database.connect();
    let options = "{start_time: 14400, end_time: 28000}";
    let all = turns(
        &mut client,
        &format!("ai_audio_diarize('{}', '{options}')", conversation()),
    );
    assert!(
        !all.is_empty() && all.iter().all(|t| t.1 >= 14_400 && t.2 <= 28_000),
        "{all:?}"
    );
}

#[test]
fn counts_are_obeyed() {
    let database = Database::new();
    let mut client = database.connect();
    for (options, wanted) in [
        ("speaker_count: 1", 1),
        ("speaker_count: 2", 2),
        ("max_speakers: 1", 1),
    ] {
        let call = format!("ai_audio_diarize('{}', '{{{options}}}')", conversation());
        let count: i64 = client.value(&format!("SELECT count(DISTINCT speaker_id) FROM {call}"));
        assert_eq!(count, wanted, "{options}");
    }
}

#[test]
fn a_library_names_the_speakers_it_knows() {
    let database = Database::new();
    let mut client = database.connect();
    client.run(&format!(
        "CREATE TABLE \"Known voices\" (id int, \"who is it\" text, v vector(192));
         INSERT INTO \"Known voices\" VALUES (1, 'Diane', ai_audio_embed('{}')), (2, 'Allison', ai_audio_embed('{}'))",
        clip("diane-1.wav"),
        clip("allison-1.wav")
    ));
    let library = r#"{"library": {"table": "\"Known voices\"", "name": "who is it"}}"#;
    let names: Vec<Option<String>> = client.column(&format!(
        "SELECT name FROM ai_audio_diarize('{}', '{library}'::jsonb) GROUP BY speaker_id, name ORDER BY name",
        conversation()
    ));
    assert_eq!(
        names,
        [Some("Diane".to_string()), None],
        "Sheila is not in it"
    );
    // A wrong library is known before the recording is heard.
    let diarize = |library: &str| {
        format!(
            "SELECT * FROM ai_audio_diarize('/nowhere.wav', '{{\"library\": {library}}}'::jsonb)"
        )
    };
    client.fails(
        &diarize(r#""nobody""#),
        SqlState::INVALID_PARAMETER_VALUE,
        &["nobody"],
    );
    client.fails(
        &diarize("7"),
        SqlState::INVALID_PARAMETER_VALUE,
        &["library", "table"],
    );
    client.fails(
        &diarize(r#"{"table": "\"Known voices\""}"#),
        SqlState::INVALID_PARAMETER_VALUE,
        &["name"],
    );
    client.fails(
        &diarize(r#"{"table": "\"Known voices\"", "name": "v"}"#),
        SqlState::INVALID_PARAMETER_VALUE,
        &["\"v\"", "holds voiceprints, not names"],
    );
}

#[test]
fn a_row_may_be_a_speaker() {
    let database = Database::new();
    let mut client = database.connect();
    let row = format!(
        "SELECT count(*) = count(DISTINCT speaker_id) AND count(*) = 2 AND bool_and(embedding IS NOT NULL)
           AND abs(sum(seconds) - (SELECT sum(seconds) FROM ai_audio_diarize('{0}'))) < 0.001
           AND bool_and(seconds <= (end_time - start_time) / 1000.0)
         FROM ai_audio_diarize('{0}', '{{per: \"speaker\"}}')",
        conversation()
    );
    assert!(client.value::<bool>(&row));
    client.fails(
        &format!(
            "SELECT ai_audio_diarize('{}', '{{per: \"word\"}}')",
            conversation()
        ),
        SqlState::INVALID_PARAMETER_VALUE,
        &["per", "turn", "speaker"],
    );
}

/// Names come with the sentences, from the one diarization.
#[test]
fn sentences_clips_and_subtitles_have_names() {
    let database = Database::new();
    let mut client = database.connect();
    client.run(&format!(
        "CREATE TABLE lib (name text, v vector(192)); INSERT INTO lib VALUES ('Diane', ai_audio_embed('{}')), ('Carlo', ai_audio_embed('{}'))",
        clip("diane-1.wav"),
        clip("carlo-1.wav")
    ));
    let file = conversation();
    let library = r#"{"library": "lib"}"#;
    let rows = client
        .query(
            &format!(
                "SELECT DISTINCT speaker_id, speaker_name, speaker_probability, embedding IS NULL FROM ai_audio_sentences('{file}', '{library}')"
            ),
            &[],
        )
        .unwrap();
    let named: Vec<(i32, Option<String>, Option<f64>)> = rows
        .iter()
        .map(|r| (r.get(0), r.get(1), r.get(2)))
        .collect();
    assert_eq!(named.len(), 2, "{named:?}");
    let of = |name: Option<&str>| {
        named
            .iter()
            .find(|n| n.1.as_deref() == name)
            .map(|n| (n.0, n.2))
    };
    let diane = of(Some("Diane")).expect("she is in the library");
    assert!(diane.1.is_some_and(|p| p > 0.5 && p <= 1.0));
    assert_eq!(of(None).map(|n| n.1), Some(None), "Sheila is not");
    assert!(
        rows.iter().all(|r| r.get::<_, bool>(3)),
        "voiceprints are for those who ask"
    );
    // The same numbers and names as in the diarization.
    let other: i64 = client.value(&format!(
        "SELECT count(*) FROM (SELECT DISTINCT speaker_id, speaker_name FROM ai_audio_sentences('{file}', '{library}')) s
         FULL JOIN (SELECT DISTINCT speaker_id, name FROM ai_audio_diarize('{file}', '{library}')) d USING (speaker_id)
         WHERE speaker_name IS DISTINCT FROM name"
    ));
    assert_eq!(other, 0);
    let voices: bool = client.value(&format!(
        "SELECT bool_and(s.embedding = d.embedding) FROM ai_audio_sentences('{file}', '{{voiceprints: true}}') s JOIN ai_audio_diarize('{file}') d USING (speaker_id)"
    ));
    assert!(voices);
    let json: Vec<String> = client.column(&format!(
        "SELECT s->>'speaker_name' FROM jsonb_path_query(ai_audio_transcript('{file}', '{library}'), '$.transcripts[*].speakers[*]') s WHERE s ? 'speaker_name'"
    ));
    assert_eq!(json, ["Diane"]);
    let subtitles: String = client.value(&format!(
        "SELECT ai_audio_transcribe(source => '{file}', options => '{{\"library\": \"lib\", \"output_type\": \"srt\"}}')"
    ));
    assert!(
        subtitles.contains("\nDiane: ") && subtitles.contains("\nSpeaker "),
        "{subtitles}"
    );
    let clips: Vec<Option<String>> = client.column(&format!(
        "SELECT name FROM ai_audio_segments('{file}', '{{\"library\": \"lib\", \"joined\": true}}') ORDER BY name"
    ));
    assert_eq!(clips, [Some("Diane".into()), None]);
    client.fails(
        &format!("SELECT * FROM ai_audio_sentences('{file}', '{{\"library\": \"lib\", \"diarization\": false}}')"),
        SqlState::INVALID_PARAMETER_VALUE,
        &["diarization"],
    );
}

/// A call recorded with a side per channel: a name per channel.
#[test]
fn each_side_of_a_call_has_its_name() {
    let database = Database::new();
    let mut client = database.connect();
    client.run(&format!(
        "CREATE TABLE lib (name text, v vector(192)); INSERT INTO lib VALUES ('Diane', ai_audio_embed('{}')), ('Sheila', ai_audio_embed('{}'))",
        clip("diane-1.wav"),
        clip("sheila-1.wav")
    ));
    let samples = |name: &str| {
        let bytes = std::fs::read(clip(name)).expect("a clip");
        bytes[44..]
            .chunks_exact(2)
            .map(|s| i16::from_le_bytes([s[0], s[1]]))
            .collect::<Vec<i16>>()
    };
    let (left, right) = (samples("diane-2.wav"), samples("sheila-2.wav"));
    let length = left.len().max(right.len());
    let at = |side: &[i16], i: usize| side.get(i).copied().unwrap_or(0).to_le_bytes();
    let mut data: Vec<u8> = Vec::new();
    for i in 0..length {
        data.extend(at(&left, i));
        data.extend(at(&right, i));
    }
    let mut file = wav(&[], 16_000);
    file.truncate(44);
    file[22..24].copy_from_slice(&2u16.to_le_bytes());
    file[28..32].copy_from_slice(&64_000u32.to_le_bytes());
    file[32..34].copy_from_slice(&4u16.to_le_bytes());
    let size = data.len() as u32;
    file[4..8].copy_from_slice(&(36 + size).to_le_bytes());
    file[40..44].copy_from_slice(&size.to_le_bytes());
    file.extend(data);
    let scratch = Scratch::new();
    let path = scratch.file("call.wav", &file);
    let names: Vec<String> = client.column(&format!(
        "SELECT DISTINCT channel_id || speaker_name FROM ai_audio_sentences('{path}', '{{\"channel\": \"each\", \"library\": \"lib\"}}') ORDER BY 1"
    ));
    assert_eq!(names, ["0Diane", "1Sheila"]);
}

/// The library is read as whoever asks, with row security.
#[test]
fn a_library_is_read_with_the_callers_privileges() {
    let database = Database::new();
    let mut owner = database.connect();
    let role = database.role("");
    owner.run(&format!(
        "CREATE TABLE secret (name text, v vector(192)); INSERT INTO secret VALUES ('Diane', ai_audio_embed('{}'))",
        clip("diane-1.wav")
    ));
    let bytes: Vec<u8> = owner.value(&format!(
        "SELECT pg_read_binary_file('{}')",
        clip("diane-2.wav")
    ));
    let mut client = database.connect_as(role.name());
    let ask =
        "SELECT DISTINCT name FROM ai_audio_diarize($1::bytea, '{\"library\": \"secret\"}'::jsonb)";
    let denied = client.query(ask, &[&bytes]).expect_err("no privilege");
    assert_eq!(denied.code(), Some(&SqlState::INSUFFICIENT_PRIVILEGE));
    owner.run(&format!(
        "GRANT SELECT ON secret TO {}; ALTER TABLE secret ENABLE ROW LEVEL SECURITY",
        role.name()
    ));
    let hidden: Vec<Option<String>> = client
        .query(ask, &[&bytes])
        .expect("allowed")
        .iter()
        .map(|r| r.get(0))
        .collect();
    assert_eq!(hidden, [None]);
}

#[test]
fn clips_are_the_turns() {
    let database = Database::new();
    let mut client = database.connect();
    let source = conversation();
    let turns = turns(&mut client, &format!("ai_audio_diarize('{source}')"));
    // 16-bit samples at 16 kHz behind a header of 44 bytes.
    let rows = client.query(
        &format!(
            "SELECT speaker_id, start_time, end_time,
                 substr(clip, 1, 4) = 'RIFF'::bytea AND abs(octet_length(clip) - 44 - 32 * (end_time - start_time)) <= 64
             FROM ai_audio_segments('{source}')"
        ),
        &[],
    );
    let rows = rows.expect("segments");
    assert_eq!(
        rows.iter()
            .map(|r| (r.get(0), r.get(1), r.get(2)))
            .collect::<Vec<Turn>>(),
        turns
    );
    assert!(rows.iter().all(|r| r.get::<_, bool>(3)));
    let joined: Vec<bool> = client.column(&format!(
        "SELECT abs(octet_length(s.clip) - 44 - 32 * t.total) <= 64 * t.turns
         FROM ai_audio_segments('{source}', '{{joined: true}}') s
         JOIN (SELECT speaker_id, sum(end_time - start_time) AS total, count(*) AS turns
               FROM ai_audio_diarize('{source}') GROUP BY 1) t USING (speaker_id)"
    ));
    assert_eq!(
        joined,
        [true, true],
        "one clip per speaker, as long as the turns"
    );
    let flac: Vec<bool> = client.column(&format!(
        "SELECT substr(clip, 1, 4) = 'fLaC'::bytea FROM ai_audio_segments('{source}', '{{joined: true, format: ''flac''}}')"
    ));
    assert_eq!(flac, [true, true]);
    let same: f64 = client.value(&format!(
        "SELECT max(cosine_similarity(ai_audio_embed(clip), ai_audio_embed('{}')))
         FROM ai_audio_segments('{source}', '{{joined: true}}')",
        clip("diane-2.wav")
    ));
    assert!(same > 0.4, "one of the clips is Diane's: {same}");
}

#[test]
fn a_part_is_extracted() {
    let database = Database::new();
    let mut client = database.connect();
    let source = conversation();
    let length: i32 = client.value(&format!(
        "SELECT octet_length(ai_audio_extract('{source}', 1000, 2000))"
    ));
    assert_eq!(length, 44 + 32_000, "a second of 16-bit samples at 16 kHz");
    let flac: Vec<u8> = client.value(&format!(
        "SELECT ai_audio_extract('{source}', 1000, 2000, '{{format: ''flac''}}')"
    ));
    assert!(flac.starts_with(b"fLaC") && flac.len() < 32_000);
    let alike: f64 = client.value(&format!(
        "SELECT cosine_similarity(ai_audio_embed(ai_audio_extract('{source}', 21000, 28000)),
             ai_audio_embed('audio_embedding', '{source}', '{{start_time: 21000, end_time: 28000}}'))"
    ));
    assert!(alike > 0.999, "{alike}");
    let nothing: Option<Vec<u8>> = client.value("SELECT ai_audio_extract(NULL::text, 0, 1)");
    assert_eq!(nothing, None);
    let fails = |client: &mut Client, arguments: &str, parts: &[&str]| {
        client.fails(
            &format!("SELECT ai_audio_extract('{source}', {arguments})"),
            SqlState::INVALID_PARAMETER_VALUE,
            parts,
        );
    };
    fails(&mut client, "2000, 1000", &["before"]);
    fails(&mut client, "-1, 1000", &["milliseconds", "-1"]);
    fails(
        &mut client,
        "0, 1000, '{format: ''mp3''}'",
        &["format", "wav", "flac"],
    );
    fails(&mut client, "0, 1000, '{start_time: 3}'", &["start_time"]);
}

#[test]
fn channels_can_be_the_speakers() {
    let scratch = Scratch::new();
    let database = Database::new();
    let mut client = database.connect();
    let side = |name: &str| -> Vec<i16> {
        let bytes = std::fs::read(clip(name)).expect("a clip");
        bytes[44..]
            .chunks_exact(2)
            .map(|b| i16::from_le_bytes([b[0], b[1]]))
            .collect()
    };
    let (diane, sheila) = (side("diane-1.wav"), side("sheila-1.wav"));
    // Sheila answers on the other channel when Diane has finished.
    let frames = (0..diane.len() + sheila.len()).flat_map(|i| {
        [
            diane.get(i).copied().unwrap_or(0),
            i.checked_sub(diane.len()).map_or(0, |j| sheila[j]),
        ]
    });
    let mut call = wav(&frames.collect::<Vec<i16>>(), 16_000);
    call[22] = 2; // channels, and bytes per second and frame
    call[28..34].copy_from_slice(&[0x00, 0xfa, 0x00, 0x00, 0x04, 0x00]);
    let call = scratch.file("call.wav", &call);
    let all = turns(
        &mut client,
        &format!("ai_audio_diarize('{call}', '{{channel: ''each''}}')"),
    );
    assert!(!all.is_empty());
    let border = diane.len() as i32 / 16;
    for (speaker, start, end) in all {
        assert!(
            if speaker == 0 {
                end <= border + 300
            } else {
                start >= border - 300
            },
            "{speaker} {start} {end}"
        );
    }
}

#[test]
fn nobody_speaks_in_silence() {
    let scratch = Scratch::new();
    let database = Database::new();
    let mut client = database.connect();
    for seconds in [0, 1, 12] {
        let silence = scratch.file(
            "silence.wav",
            &wav(&vec![0; seconds * 16_000 + 500], 16_000),
        );
        assert_eq!(
            turns(&mut client, &format!("ai_audio_diarize('{silence}')")),
            []
        );
        let clips: i64 = client.value(&format!(
            "SELECT count(*) FROM ai_audio_segments('{silence}')"
        ));
        assert_eq!(clips, 0);
    }
    assert_eq!(turns(&mut client, "ai_audio_diarize(NULL::text)"), []);
}

#[test]
fn what_is_wrong_is_said() {
    let database = Database::new();
    let mut client = database.connect();
    let source = conversation();
    let diarize =
        |options: &str| format!("SELECT * FROM ai_audio_diarize('{source}', '{options}')");
    let wrong = SqlState::INVALID_PARAMETER_VALUE;
    client.fails(
        &diarize("{speakers: 2}"),
        wrong.clone(),
        &["speakers", "speaker_count", "merge_gap", "library"],
    );
    client.fails(
        &diarize("{speaker_count: 0}"),
        wrong.clone(),
        &["speaker_count", "1"],
    );
    client.fails(&diarize("{speaker_count: 101}"), wrong.clone(), &["100"]);
    client.fails(
        &diarize("{min_speakers: 3, max_speakers: 2}"),
        wrong.clone(),
        &["min_speakers", "max_speakers"],
    );
    client.fails(
        &diarize("{speaker_count: 2, max_speakers: 2}"),
        wrong.clone(),
        &["speaker_count"],
    );
    client.fails(
        &diarize("{merge_gap: -1}"),
        wrong.clone(),
        &["merge_gap", "milliseconds"],
    );
    client.fails(
        &format!("SELECT * FROM ai_audio_segments('{source}', '{{format: ''mp3''}}')"),
        wrong,
        &["wav", "flac"],
    );
    client.fails(
        "SELECT * FROM ai_audio_diarize('/nowhere/at.wav')",
        SqlState::UNDEFINED_FILE,
        &["/nowhere/at.wav"],
    );
    assert_eq!(
        turns(
            &mut client,
            "ai_audio_diarize('/nowhere/at.wav', '{on_error: ''null''}')"
        ),
        []
    );
}

/// `docs/examples/driver.sql`: a ride with two people, and the sentences of the one who drives.
#[test]
fn only_the_drivers_sentences() {
    let database = Database::new();
    let shown = database.play(
        &root().join("docs/examples/driver.sql"),
        &[
            ("ride", &conversation()),
            ("driver", &clip("diane-1.wav")),
            ("other", &clip("allison-1.wav")),
        ],
    );
    // From the transcript that comes with the recording.
    for said in ["New Jersey", "This is Diane"] {
        assert!(shown.contains(said), "{said:?} is missing in:\n{shown}");
    }
    for not_said in ["Yankee", "Sheila"] {
        assert!(
            !shown.contains(not_said),
            "{not_said:?} is Sheila's:\n{shown}"
        );
    }
}
