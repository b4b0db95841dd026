//! What the extension declares: nothing unlisted, everything described and documented, nothing dangerous left open.

use std::fs;

use sql_tests::{ClientExt, Database, root};

/// Every function: `v` volatile, `s` stable, `i` immutable; `strict` or `called` on NULL; parallel `safe`,
/// `restricted` or `unsafe`. One entry per name, but where overloads differ. Sorted.
const FUNCTIONS: &[(&str, &str)] = &[
    ("ai_audio.check_columns", "v called unsafe"),
    ("ai_audio.check_into", "v called unsafe"),
    ("ai_audio.clearing", "v called unsafe"),
    ("ai_audio.columns_read", "s called safe"),
    ("ai_audio.follows", "s called restricted"),
    ("ai_audio.hear", "v strict unsafe"),
    ("ai_audio.hidden_jsonb_in", "i strict safe"),
    ("ai_audio.hidden_jsonb_out", "i strict safe"),
    ("ai_audio.hidden_text_in", "i strict safe"),
    ("ai_audio.hidden_text_out", "i strict safe"),
    ("ai_audio.is_results", "s strict safe"),
    ("ai_audio.jobs", "s called restricted"),
    ("ai_audio.key_columns", "s called safe"),
    ("ai_audio.key_join", "i called safe"),
    ("ai_audio.key_list", "i called safe"),
    ("ai_audio.list_activity", "v strict restricted"),
    ("ai_audio.list_models", "v strict restricted"),
    ("ai_audio.llm_validator", "s strict safe"),
    ("ai_audio.look_after", "v called unsafe"),
    ("ai_audio.make_results", "v called unsafe"),
    ("ai_audio.make_views", "v called unsafe"),
    ("ai_audio.next_job", "v called unsafe"),
    ("ai_audio.own_follow", "s called restricted"),
    ("ai_audio.owners_with_work", "v called unsafe"),
    ("ai_audio.parts", "s strict safe"),
    ("ai_audio.parts_changed", "s called restricted"),
    ("ai_audio.profile_final", "i called safe"),
    ("ai_audio.profile_serialize", "i strict safe"),
    ("ai_audio.progress", "s called restricted"),
    ("ai_audio.put_triggers", "v called unsafe"),
    ("ai_audio.queue_function", "s called restricted"),
    ("ai_audio.queue_missing", "v called unsafe"),
    ("ai_audio.queueing", "v called unsafe"),
    ("ai_audio.queueing_failed", "v called unsafe"),
    ("ai_audio.refresh", "v called unsafe"),
    ("ai_audio.results_key", "s called safe"),
    ("ai_audio.step_columns", "i called safe"),
    ("ai_audio.store_validator", "s strict safe"),
    ("ai_audio.take", "v called unsafe"),
    ("ai_audio.to_float8", "i strict safe"),
    ("ai_audio.work_on", "v called unsafe"),
    ("ai_audio_detect_language", "s called safe"),
    ("ai_audio_diarize", "s called restricted"),
    ("ai_audio_drop_model", "v strict unsafe"),
    ("ai_audio_embed", "s called safe"),
    ("ai_audio_embed", "v called safe"), // of arrays: sql/20_embed.sql says why
    ("ai_audio_embed_row", "s called safe"),
    ("ai_audio_enhance", "s called safe"),
    ("ai_audio_extract", "s called safe"),
    ("ai_audio_follow", "v called unsafe"),
    ("ai_audio_identify", "s called restricted"),
    ("ai_audio_info", "s called safe"),
    ("ai_audio_inspect", "v called restricted"),
    ("ai_audio_list", "s called safe"),
    ("ai_audio_pause", "v strict unsafe"),
    ("ai_audio_presign", "v called safe"),
    ("ai_audio_put", "v called unsafe"),
    ("ai_audio_quality", "s called safe"),
    ("ai_audio_refresh", "v strict unsafe"),
    ("ai_audio_register_model", "v called unsafe"),
    ("ai_audio_resume", "v strict unsafe"),
    ("ai_audio_retry", "v called unsafe"),
    ("ai_audio_segments", "s called restricted"),
    ("ai_audio_sentences", "s called restricted"),
    ("ai_audio_stats", "v strict restricted"),
    ("ai_audio_transcribe", "s called restricted"),
    ("ai_audio_transcript", "s called restricted"),
    ("ai_audio_unfollow", "v called unsafe"),
    ("ai_audio_vad", "s called safe"),
    ("ai_audio_verify", "s called safe"),
    ("ai_audio_version", "s strict safe"),
    ("ai_audio_warmup", "v called restricted"),
    ("ai_audio_work", "v called unsafe"),
    ("ai_text_complete", "v called restricted"),
    ("ai_text_inspect", "v called restricted"),
    ("ai_voice_calibrate", "v called unsafe"),
    ("ai_voice_cluster", "i called safe"),
    ("ai_voice_identify", "s called restricted"),
    ("ai_voice_profile", "i called safe"),
    ("ai_voice_verify", "s called safe"),
    ("cosine_similarity", "i strict safe"),
];

const MEMBERS: &str = "
    SELECT d.classid, d.objid FROM pg_depend d
    JOIN pg_extension e ON d.refclassid = 'pg_extension'::regclass AND d.refobjid = e.oid
    WHERE e.extname = 'ai_audio' AND d.deptype = 'e'";

#[test]
fn every_function_is_listed_with_its_properties() {
    let database = Database::new();
    let mut client = database.connect();
    let declared: Vec<String> = client.column(&format!(
        "SELECT DISTINCT CASE WHEN n.nspname = 'ai_audio' THEN 'ai_audio.' ELSE '' END || p.proname || ' ' || p.provolatile::text || ' '
             || CASE WHEN p.proisstrict THEN 'strict' ELSE 'called' END || ' '
             || CASE p.proparallel WHEN 's' THEN 'safe' WHEN 'r' THEN 'restricted' ELSE 'unsafe' END
         FROM ({MEMBERS}) m JOIN pg_proc p ON m.classid = 'pg_proc'::regclass AND p.oid = m.objid
         JOIN pg_namespace n ON n.oid = p.pronamespace
         WHERE p.prorettype <> 'internal'::regtype ORDER BY 1"
    ));
    let listed: Vec<String> = FUNCTIONS
        .iter()
        .map(|(name, properties)| format!("{name} {properties}"))
        .collect();
    let unlisted: Vec<_> = declared
        .iter()
        .filter(|line| !listed.contains(line))
        .collect();
    let missing: Vec<_> = listed
        .iter()
        .filter(|line| !declared.contains(line))
        .collect();
    assert!(
        unlisted.is_empty() && missing.is_empty(),
        "declared, not listed: {unlisted:#?}; listed, not declared: {missing:#?}"
    );
}

/// A function that works on a recording costs what thousands of operators cost, and the planner must know.
#[test]
fn costs_are_honest() {
    let database = Database::new();
    let mut client = database.connect();
    let cheap: Vec<String> = client.column(&format!(
        "SELECT p.oid::regprocedure::text FROM ({MEMBERS}) m JOIN pg_proc p ON m.classid = 'pg_proc'::regclass AND p.oid = m.objid
         WHERE p.proname ~ '^ai_audio_' AND p.proargtypes[0] IN ('text'::regtype, 'bytea'::regtype) AND p.procost < 1000"
    ));
    assert!(cheap.is_empty(), "{cheap:?}");
    assert!(
        client.value::<f32>("SELECT max(procost) FROM pg_proc WHERE proname = 'cosine_similarity'")
            <= 10.0
    );
}

#[test]
fn every_object_has_a_comment() {
    let database = Database::new();
    let mut client = database.connect();
    let bare: Vec<String> = client.column(&format!(
        "SELECT pg_describe_object(m.classid, m.objid, 0) FROM ({MEMBERS}) m
         LEFT JOIN pg_class c ON m.classid = 'pg_class'::regclass AND c.oid = m.objid
         WHERE m.classid IN ('pg_proc'::regclass, 'pg_class'::regclass, 'pg_namespace'::regclass)
           AND c.relkind IS DISTINCT FROM 'i' AND c.relkind IS DISTINCT FROM 'S'
           AND obj_description(m.objid, m.classid::regclass::name) IS NULL"
    ));
    assert!(bare.is_empty(), "without COMMENT: {bare:#?}");
}

#[test]
fn names_in_the_users_schema_say_whose_they_are() {
    let database = Database::new();
    let mut client = database.connect();
    let strange: Vec<String> = client.column(&format!(
        "SELECT pg_describe_object(classid, objid, 0) FROM ({MEMBERS}) m
         WHERE (pg_identify_object(classid, objid, 0)).schema = 'public'
           AND pg_describe_object(classid, objid, 0) !~ '(ai_audio_|ai_text_|ai_voice_|cosine_similarity)'"
    ));
    assert!(strange.is_empty(), "{strange:#?}");
}

#[test]
fn nobody_but_superusers_may_write_what_the_extension_keeps() {
    let database = Database::new();
    let mut client = database.connect();
    let writable: Vec<String> = client.column(&format!(
        "SELECT c.oid::regclass::text FROM ({MEMBERS}) m JOIN pg_class c ON m.classid = 'pg_class'::regclass AND c.oid = m.objid
         WHERE c.relkind IN ('r', 'v', 'S') AND EXISTS (
           SELECT FROM aclexplode(c.relacl) a WHERE a.grantee = 0 AND a.privilege_type NOT IN ('SELECT'))"
    ));
    assert!(writable.is_empty(), "{writable:?}");
}

/// A page under docs/ names the function in a heading and says what each kind of input gets.
#[test]
fn every_function_has_a_page_with_a_table_of_inputs() {
    let pages: Vec<String> = fs::read_dir(root().join("docs"))
        .expect("docs/ is there")
        .filter_map(|entry| fs::read_to_string(entry.ok()?.path()).ok())
        .collect();
    let documented = |name: &str| {
        pages.iter().any(|page| {
            let heading = page
                .lines()
                .any(|line| line.starts_with('#') && line.contains(name));
            let table = page
                .lines()
                .any(|line| line.starts_with("| Input") && line.contains("Behaviour"));
            heading && table
        })
    };
    let names = FUNCTIONS
        .iter()
        .map(|(name, _)| *name)
        .filter(|name| !name.contains('.'));
    let missing: Vec<_> = names.filter(|name| !documented(name)).collect();
    assert!(
        missing.is_empty(),
        "no page with an `| Input | Behaviour |` table for {missing:?}"
    );
}
