package fabrictest

import "testing"

// Run runs the whole suite on one implementation.
func Run(t *testing.T, open Open) {
	for _, c := range []struct {
		name string
		test func(t *testing.T, open Open)
	}{
		{"BytesBeforeCounter", testBytesBeforeCounter},
		{"WordsAscending", testWordsAscending},
		{"SizesAndOffsets", testSizesAndOffsets},
		{"WordsReplaced", testWordsReplaced},
		{"ManyRegions", testManyRegions},
		{"MessageOrder", testMessageOrder},
		{"MessageSizes", testMessageSizes},
		{"EveryoneToEveryone", testEveryoneToEveryone},
		{"NoRegion", testNoRegion},
		{"Deregister", testDeregister},
		{"DownOnce", testDownOnce},
		{"Sever", testSever},
		{"NothingAfterDown", testNothingAfterDown},
		{"PrefixOverReconnect", testPrefixOverReconnect},
		{"SlowReceiver", testSlowReceiver},
		{"Close", testClose},
		{"NotConnected", testNotConnected},
	} {
		t.Run(c.name, func(t *testing.T) { c.test(t, open) })
	}
}
