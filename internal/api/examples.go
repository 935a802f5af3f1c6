package api

const (
	limitsShown = `"limits":{"rate":{"per_second":1000,"burst":10000,"on_store_failure":"local_share"},` +
		`"daily":{"most":10000000,"on_store_failure":"local_share"},"credits":{"most":0,"on_store_failure":"deny"}}`
	publicLimitsShown = `"limits":{"rate":{"per_second":100,"burst":1000,"on_store_failure":"local_share"},` +
		`"daily":{"most":1000000,"on_store_failure":"local_share"},"credits":{"most":0,"on_store_failure":"deny"}}`
)

// The examples of the document. A test sends each one and compares what it gets with what is shown here.
var (
	trackExample = example{
		Name: "one", Status: 200,
		Body:   `{"environment":"production","event":"Button Clicked","properties":{"page":"pricing"},"distinct_id":"u_1","event_id":"click-1"}`,
		Answer: `{"ok":true,"task_id":"task-019a0000-0000-7000-8000-000000000000","error_code":null,"accepted":1,"rejected":[]}`,
	}
	batchExample = example{
		Name: "batch", Status: 200,
		Body: `[{"event":"Signed Up","distinct_id":"u_1","timestamp":"2026-01-31T12:00:00.000Z"},{"properties":{"page":"pricing"}}]`,
		Answer: `{"ok":true,"task_id":"task-019a0000-0000-7000-8000-000000000000","error_code":null,"accepted":1,"rejected":[` +
			`{"index":1,"code":"invalid_field","detail":"event: is required","errors":[{"field":"event","detail":"is required"}]}]}`,
	}
	badEventExample = example{
		Name: "without a name", Status: 422, Body: `{"properties":{"page":"pricing"}}`,
		Answer: `{"type":"/problems/invalid_field","title":"A field is not acceptable","status":422,"detail":"event: is required","code":"invalid_field",` +
			`"request_id":"req_2W3FQ6DZL4XKYB5RA7TS","errors":[{"field":"event","detail":"is required"}],` +
			`"ok":false,"task_id":null,"error_code":"invalid-field","error":"invalid-field","message":"event: is required"}`,
	}
	nameExample = example{
		Name: "composite", Status: 200,
		Body:   `{"name":"page_viewed","properties":{"path":"/"}}`,
		Answer: `{"ok":true,"task_id":"task-019a0000-0000-7000-8000-000000000000","error_code":null,"accepted":1,"rejected":[]}`,
	}
	identifyExample = example{
		Name: "identify", Status: 200,
		Body:   `{"environment":"production","distinct_id":"u_1","traits":{"email":"ana@example.com","plan":"pro"},"anonymous_id":"anonymous-1"}`,
		Answer: `{"ok":true,"task_id":"task-019a0000-0000-7000-8000-000000000000","error_code":null,"accepted":1,"rejected":[]}`,
	}
	aliasExample = example{
		Name: "alias", Status: 200,
		Body:   `{"environment":"production","distinct_id":"u_1","new_user_id":"crm:1"}`,
		Answer: `{"ok":true,"task_id":"task-019a0000-0000-7000-8000-000000000000","error_code":null,"accepted":1,"rejected":[]}`,
	}
	userTokenExample = example{
		Name: "for a page", Status: 201,
		Body:   `{"environment":"production","lifetime":600}`,
		Answer: `{"token":"eyJhbGciOiJFZERTQSIsImtpZCI6…","user_id":"u_1","expires_at":"2026-01-31T12:10:00Z","expires_in":600}`,
	}
	patchUserExample = example{
		Name: "traits", Status: 200,
		Body:   `{"environment":"production","traits":{"plan":"pro","$set_once":{"first_campaign":"spring"},"$unset":["trial_ends"]}}`,
		Answer: `{"ok":true,"task_id":"task-019a0000-0000-7000-8000-000000000000","queryable":true}`,
	}
	recordingExample = example{
		Name: "first", Status: 200,
		Body: `{"session_id":"example-1","sequence":0,"environment":"production","distinct_id":"u_1","events":[` +
			`{"type":4,"data":{"href":"https://shop.example/","width":1280,"height":720},"timestamp":1780000000000}]}`,
		Answer: `{"session_id":"example-1","sequence":0,"events":1,"duplicate":false}`,
	}
	replayExample = example{
		Name: "corrected", Status: 200,
		Body:   `{"environment":"production","code":"invalid_field","rename":{"user":"distinct_id"},"patch":{"timestamp":null}}`,
		Answer: `{"accepted":2,"failed":[],"next_cursor":null}`,
	}
	workflowExample = example{
		Name: "webhook", Status: 201,
		Body: `{"id":"order-paid","environment":"production","name":"Orders to the shop","url":"https://hooks.example.com/orders",` +
			`"template":{"order":"{{order}}","text":"Paid by {{$user_id}}: {{amount}}"}}`,
		Answer: `{"id":"order-paid","environment":"production","name":"Orders to the shop","url":"https://hooks.example.com/orders","event":null,` +
			`"template":{"order":"{{order}}","text":"Paid by {{$user_id}}: {{amount}}"},"variables":["amount","order"],"enabled":true,"disabled_because":null,` +
			`"secret_hint":"k4M=","former_secret_until":null,"secret":"whsec_…","revision":1,"created_at":"2026-01-31T12:00:00Z","created_by":"key_0000000000A1",` +
			`"updated_at":"2026-01-31T12:00:00Z","updated_by":"key_0000000000A1"}`,
	}
	deletionExample = example{
		Name: "a leaked key", Status: 202,
		Body: `{"environment":"production","key_id":"key_3fQ9xT0aLmZk","from":"2026-07-01T00:00:00Z","until":"2026-07-02T00:00:00Z"}`,
		Answer: `{"id":"del_2W3FQ6DZL4XKYB5RA7TS","environment":"production","status":"queued","of":{"key_id":"key_3fQ9xT0aLmZk",` +
			`"from":"2026-07-01T00:00:00Z","until":"2026-07-02T00:00:00Z"},"requested_by":"key_7hW2cV5nQpRs","created_at":"2026-01-31T12:00:00Z"}`,
	}
	createKeyExample = example{
		Name: "secret", Status: 201,
		Body: `{"kind":"secret","label":"nightly report","steward":"ana@example.com","scopes":["sql:run"],"environments":["production"]}`,
		Answer: `{"id":"key_3fQ9xT0aLmZk","kind":"secret","mode":"live","label":"nightly report","steward":"ana@example.com","scopes":["sql:run"],` +
			`"status":"active","prefix":"sk_live_3fQ9","last_four":"a1B2","key":"sk_live_3fQ9xT0aLmZk…","environments":["production"],"networks":[],` +
			`"domains":[],"events":[],"datasets":null,"signature":false,"not_before":null,"expires_at":null,"view":null,"observe":[],` + limitsShown +
			`,"public_keys":[],"generation":1,"minted_at":"2026-01-31T12:00:00Z","former":[],"advice":[],"source":"stored",` +
			`"created_at":"2026-01-31T12:00:00Z","created_by":"key_0000000000A1","updated_at":"2026-01-31T12:00:00Z","revoked_at":null,"version":1}`,
	}
	dryRunExample = example{
		Name: "dry run", Status: 200,
		Body: `{"kind":"public","label":"web shop","domains":["https://*.example.com"],"events":["page_viewed","checkout *"],"dry_run":true}`,
		Answer: `{"id":"","kind":"public","mode":"live","label":"web shop","steward":"","scopes":["events:write","users:write","projects:read","recordings:write"],` +
			`"status":"active","prefix":"","last_four":"","environments":[],"networks":[],"domains":["https://*.example.com"],` +
			`"events":["page_viewed","checkout *"],"datasets":null,"signature":false,"not_before":null,"expires_at":null,"view":null,"observe":[],` + publicLimitsShown +
			`,"public_keys":[],"generation":0,"minted_at":"2026-01-31T12:00:00Z","former":[],"advice":[],"source":"stored",` +
			`"created_at":"2026-01-31T12:00:00Z","created_by":"key_0000000000A1","updated_at":"2026-01-31T12:00:00Z","revoked_at":null,"version":1}`,
	}
	lockoutExample = example{
		Name: "lock out", Status: 409, Body: `{"ceilings":{"secret":{"require_networks":true}}}`,
		Answer: `{"type":"/problems/lockout","title":"The change would lock out the key that makes it","status":409,` +
			`"detail":"Under this policy the key that asks for it could not ask again (networks_required). Send 'confirm_lockout': true if that is meant.",` +
			`"code":"lockout","request_id":"req_2W3FQ6DZL4XKYB5RA7TS","errors":[{"field":"confirm_lockout","detail":"must be true to do this"}]}`,
	}
	grafanaExample = example{
		Name: "panel", Status: 200,
		Body: `{"panelId":1,"range":{"from":"2026-01-01T00:00:00.000Z","to":"2999-12-31T00:00:00.000Z","raw":{"from":"now-6h","to":"now"}},"intervalMs":30000,` +
			`"maxDataPoints":550,"targets":[{"refId":"A","target":"sql","payload":{"sql":"SELECT date_trunc('day', timestamp) AS time, event, count(*) AS n ` +
			`FROM events WHERE timestamp BETWEEN $from AND $to GROUP BY ALL"}}],"adhocFilters":[]}`,
		Answer: `[{"target":"Button Clicked","datapoints":[[1,1769817600000]]}]`,
	}
	queryExample = example{
		Name: "count", Status: 200,
		Body:   `{"sql":"SELECT event, count(*) AS n FROM events WHERE distinct_id = $1 GROUP BY event ORDER BY event","environment":"production","parameters":["u_1"]}`,
		Answer: `{"columns":[{"name":"event","type":"VARCHAR"},{"name":"n","type":"BIGINT"}],"rows":[["Button Clicked",1]],"row_count":1,"elapsed_ms":3.1}`,
	}
	checkExample = example{
		Name: "valid", Status: 200,
		Body: `{"sql":"SELECT event, count(*) AS n FROM events WHERE distinct_id = $1 GROUP BY event","environment":"production"}`,
		Answer: `{"tables":["events"],"parameters":[{"name":"1","type":"VARCHAR"}],` +
			`"columns":[{"name":"event","type":"VARCHAR"},{"name":"n","type":"BIGINT"}],"estimated_rows":1204}`,
	}
	badCheckExample = example{
		Name: "invalid", Status: 400, Body: `{"sql":"SELECT event, nope FROM events"}`,
		Answer: `{"type":"/problems/invalid_sql","title":"The SQL statement has an error","status":400,` +
			`"detail":"line 1, column 15: Referenced column \"nope\" not found in FROM clause!","code":"invalid_sql","request_id":"req_2W3FQ6DZL4XKYB5RA7TS",` +
			`"errors":[{"field":"sql","detail":"line 1, column 15: Referenced column \"nope\" not found in FROM clause!"}],` +
			`"line":1,"column":15,"excerpt":"SELECT event, nope FROM events\n              ^"}`,
	}
	lakehouseCheckExample = example{
		Name: "lakehouse", Status: 200, Body: `{"statement":"SELECT event FROM events","catalog":"production","schema":"main"}`,
		Answer: `{"valid":true,"statement":"SELECT event FROM events","connections_errors":{},"error":null}`,
	}
	testMetricExample = example{
		Name: "test", Status: 200,
		Body: `{"definition":{"sql":"SELECT count(*) AS n FROM events WHERE event = @{event}","variables":[{"name":"event","type":"string","required":true}]},` +
			`"variables":{"event":"Button Clicked"},"environment":"production"}`,
		Answer: `{"sql":"SELECT count(*) AS n FROM events WHERE event = $1","variables":[{"name":"event","type":"string","required":true}],` +
			`"answer":{"columns":[{"name":"n","type":"BIGINT"}],"rows":[[1]],"row_count":1,"elapsed_ms":3.1},"cost":{"rows_looked_at":1,"elapsed_ms":3.1,"credits":1}}`,
	}
	userFluxExample = example{
		Name: "userflux", Status: 200,
		Body:   `{"encodedQuery":"U0VMRUNUIGNvdW50KCopIEFTIG4gRlJPTSBldmVudHNUYWJsZSBXSEVSRSBldmVudCA9ICdAe2V2ZW50TmFtZX0n","variables":{"eventName":"Button Clicked"}}`,
		Answer: `{"columns":[{"name":"n","type":"BIGINT"}],"rows":[[1]],"data":[{"n":1}],"cached":false,"expiresAt":"2026-01-31T12:05:00Z"}`,
	}
	submitExample = example{
		Name: "background", Status: 202,
		Body: `{"sql":"SELECT event, count(*) AS n FROM events GROUP BY event","environment":"production","format":"csv"}`,
		Answer: `{"id":"qry_2W3FQ6DZL4XKYB5RA7TS","key_id":"key_3fQ9xT0aLmZk","environment":"production",` +
			`"sql":"SELECT event, count(*) AS n FROM events GROUP BY event","status":"running","background":true,"cached":false,` +
			`"started_at":"2026-01-31T12:00:00Z","elapsed_ms":null,"rows":0,"bytes":0,"credits":0,"result_until":null}`,
	}
	exportExample = example{
		Name: "export", Status: 202,
		Body: `{"of":"events","environment":"production","where":[{"column":"event","op":"=","value":"Button Clicked"}],"columns":["timestamp","event","distinct_id"],` +
			`"format":"csv","compression":"gzip"}`,
		Answer: `{"id":"job_2W3FQ6DZL4XKYB5RA7TS","status":"queued","of":"events","environment":"production",` +
			`"where":[{"column":"event","op":"=","value":"Button Clicked"}],"columns":["timestamp","event","distinct_id"],"format":"csv","compression":"gzip",` +
			`"rows":0,"bytes":0,"credits":0,"key_id":"key_3fQ9xT0aLmZk","created_at":"2026-01-31T12:00:00Z","started_at":null,"ended_at":null,"expires_at":null}`,
	}
	completeExample = example{
		Name: "a word", Status: 200, Body: `{"sql":"SELECT distinct_"}`,
		Answer: `{"suggestions":[{"text":"distinct_id","kind":"column","from":7,"to":16},{"text":"distinct_ids","kind":"column","from":7,"to":16}]}`,
	}
)

// Examples of what other systems' clients send.
var (
	userFluxEventExample = example{
		Name: "userflux", Status: 200,
		Body: `{"events":[{"timestamp":1769860800000,"userId":"u_1","name":"page_view","properties":{"path":"/"},"deviceData":null},{"userId":"u_1","name":"page_view","timestamp":"1960-01-31T12:00:00Z"}]}`,
		Answer: `{"ok":true,"task_id":"task-019a0000-0000-7000-8000-000000000000","error_code":null,"accepted":1,"rejected":[` +
			`{"index":1,"code":"invalid_field","detail":"timestamp: lies outside the years 1970 to 2199","errors":[{"field":"timestamp","detail":"lies outside the years 1970 to 2199"}]}]}`,
	}
	compositeExample = example{
		Name: "composite", Status: 200,
		Body:   `{"name":"page_viewed","properties":{"path":"/"},"distinct_id":"u_1","sys_uuid":"019a0000-0000-7000-8000-000000000001"}`,
		Answer: `{"ok":true,"task_id":"task-019a0000-0000-7000-8000-000000000000","error_code":null,"accepted":1,"rejected":[]}`,
	}
	segmentExample = example{
		Name: "segment", Status: 200,
		Body:   `{"userId":"u_1","event":"Button Clicked","properties":{"page":"pricing"},"context":{"ip":"203.0.113.7"},"messageId":"click-2"}`,
		Answer: `{"success":true}`,
	}
	segmentBatchExample = example{
		Name: "segment", Status: 200,
		Body: `{"batch":[{"type":"identify","userId":"u_1","traits":{"plan":"pro"},"messageId":"m-1"},` +
			`{"type":"page","userId":"u_1","name":"Pricing","messageId":"m-2"}]}`,
		Answer: `{"success":true}`,
	}
)
