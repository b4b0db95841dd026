use super::*;

fn store(kind: Kind, bucket: &str, endpoint: Option<&str>, region: Option<&str>) -> Store {
    let keys = Keys {
        id: Secret::new("AKIDEXAMPLE"),
        secret: Secret::new("s3cret"),
        token: None,
    };
    let place = Place {
        kind,
        bucket: bucket.into(),
        endpoint: endpoint.map(|url| Url::parse(url).unwrap()),
        region: region.map(Into::into),
        path_style: None,
        trusted: false,
    };
    Store::new(place, Some(keys)).unwrap()
}

#[test]
fn objects_are_addressed_as_their_store_wants_it() {
    for (kind, bucket, endpoint, region, expected) in [
        (
            Kind::Oss,
            "calls",
            Some("https://oss-cn-beijing.aliyuncs.com"),
            None,
            "https://calls.oss-cn-beijing.aliyuncs.com/",
        ),
        (
            Kind::Oss,
            "calls",
            None,
            Some("cn-hangzhou"),
            "https://calls.oss-cn-hangzhou.aliyuncs.com/",
        ),
        (
            Kind::Oss,
            "calls",
            Some("http://127.0.0.1:9000"),
            None,
            "http://127.0.0.1:9000/calls/",
        ),
        (
            Kind::S3,
            "calls",
            None,
            None,
            "https://calls.s3.us-east-1.amazonaws.com/",
        ),
        (
            Kind::S3,
            "calls",
            None,
            Some("cn-north-1"),
            "https://calls.s3.cn-north-1.amazonaws.com.cn/",
        ),
        // A certificate's star covers one label, and host names have no capitals.
        (
            Kind::S3,
            "my.calls",
            None,
            Some("eu-west-1"),
            "https://s3.eu-west-1.amazonaws.com/my.calls/",
        ),
        (
            Kind::S3,
            "Calls_1",
            None,
            None,
            "https://s3.us-east-1.amazonaws.com/Calls_1/",
        ),
        (
            Kind::S3,
            "calls",
            Some("https://minio.internal:9000"),
            None,
            "https://minio.internal:9000/calls/",
        ),
    ] {
        assert_eq!(
            store(kind, bucket, endpoint, region)
                .url("")
                .unwrap()
                .as_str(),
            expected
        );
    }
}

#[test]
fn every_letter_of_a_key_arrives() {
    let store = store(Kind::S3, "b", Some("http://127.0.0.1"), None);
    let url = store.url("a b/%41?x#y+z/客服&=;@:~/e.wav").unwrap();
    assert_eq!(
        url.path(),
        "/b/a%20b/%2541%3Fx%23y%2Bz/%E5%AE%A2%E6%9C%8D%26%3D%3B%40%3A~/e.wav"
    );
    assert!(url.query().is_none() && url.fragment().is_none());
    for wrong in ["a/../b", "./a", "..", &"x".repeat(1025)] {
        assert!(store.url(wrong).is_err(), "{wrong}");
    }
}

#[test]
fn regions_are_in_the_names_of_endpoints() {
    for (kind, host, region) in [
        (Kind::Oss, "oss-cn-beijing.aliyuncs.com", Some("cn-beijing")),
        (
            Kind::Oss,
            "oss-cn-beijing-internal.aliyuncs.com",
            Some("cn-beijing"),
        ),
        (
            Kind::Oss,
            "calls.oss-us-west-1.aliyuncs.com",
            Some("us-west-1"),
        ),
        (Kind::Oss, "oss-accelerate.aliyuncs.com", None),
        (Kind::Oss, "audio.example.com", None),
        (
            Kind::S3,
            "s3.eu-central-1.amazonaws.com",
            Some("eu-central-1"),
        ),
        (
            Kind::S3,
            "s3.dualstack.eu-central-1.amazonaws.com",
            Some("eu-central-1"),
        ),
        (
            Kind::S3,
            "calls.s3-eu-west-1.amazonaws.com",
            Some("eu-west-1"),
        ),
        (Kind::S3, "s3.amazonaws.com", None),
        (
            Kind::S3,
            "calls.s3.cn-north-1.amazonaws.com.cn",
            Some("cn-north-1"),
        ),
    ] {
        assert_eq!(region_in(kind, host).as_deref(), region, "{host}");
    }
}

#[test]
fn providers_urls_tell_their_bucket() {
    for (url, expected) in [
        (
            "https://calls.oss-cn-beijing.aliyuncs.com/a.wav",
            Some((Kind::Oss, "calls", false)),
        ),
        ("https://oss-cn-beijing.aliyuncs.com/a.wav", None),
        (
            "https://calls.s3.eu-west-1.amazonaws.com/a.wav",
            Some((Kind::S3, "calls", false)),
        ),
        (
            "https://my.calls.s3.amazonaws.com/a.wav",
            Some((Kind::S3, "my.calls", false)),
        ),
        (
            "https://s3.eu-west-1.amazonaws.com/calls/a.wav",
            Some((Kind::S3, "calls", true)),
        ),
        (
            "https://calls.oss-cn-beijing.aliyuncs.com.evil.example/a.wav",
            None,
        ),
        ("https://calls.s3.amazonaws.com.evil.example/a.wav", None),
        ("https://example.com/calls/a.wav", None),
    ] {
        let url = Url::parse(url).unwrap();
        let found = bucket_of(url.host_str().unwrap(), &url);
        let expected = expected.map(|(kind, bucket, path)| (kind, bucket.to_owned(), path));
        assert_eq!(found, expected, "{url}");
    }
}

#[test]
fn an_oss_bucket_needs_a_place() {
    let place = Place {
        kind: Kind::Oss,
        bucket: "calls".into(),
        endpoint: None,
        region: None,
        path_style: None,
        trusted: false,
    };
    let Err(error) = Store::new(place, None) else {
        panic!("it has none");
    };
    assert!(error.to_string().contains("endpoint"), "{error}");
}

#[test]
fn temporary_urls_are_signed_and_hide_the_secret() {
    for (kind, endpoint, mark) in [
        (
            Kind::Oss,
            "https://oss-cn-beijing.aliyuncs.com",
            "x-oss-signature=",
        ),
        (Kind::Oss, "https://audio.example.com", "Signature="),
        (
            Kind::S3,
            "https://s3.eu-west-1.amazonaws.com",
            "X-Amz-Signature=",
        ),
    ] {
        let store = store(kind, "calls", Some(endpoint), None);
        let url = store.presign("a b.wav", Duration::from_secs(60)).unwrap();
        assert!(
            url.as_str().contains(mark) && url.path() == "/a%20b.wav",
            "{url}"
        );
        assert!(!url.as_str().contains("s3cret"));
    }
}
