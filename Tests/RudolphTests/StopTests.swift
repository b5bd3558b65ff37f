import Foundation
import Testing

@testable import Rudolph

@Suite struct StopTests {
    /// Work that throws `RudolphError.stopped`.
    func isStopped(_ location: SourceLocation = #_sourceLocation, _ work: () throws -> Void) {
        do {
            try work()
            Issue.record("was not stopped", sourceLocation: location)
        } catch let error as RudolphError {
            #expect(error.kind == .stopped, "\(error)", sourceLocation: location)
        } catch {
            Issue.record("another error: \(error)", sourceLocation: location)
        }
    }

    @Test func progressHandlersStopEveryTaskAtEveryStage() throws {
        let session = try Demo.session(.int8)
        let image = try #require(try Golden.images().first)
        let picture = try Golden.picture(image.png)
        var options = CaptionOptions()
        options.candidates = 4
        options.seed = 1
        let captioner = Captioner(session)
        let expected = try captioner.captions(of: picture, options).map(\.text)
        var stages: [String] = []
        _ = try captioner.captions(of: picture, options, progress: {
            #expect($0.done >= 0 && $0.done <= $0.total, "\($0)")
            if stages.last != $0.stage.name { stages.append($0.stage.name) }
            return true
        })
        #expect(stages == ["encoding image", "reading", "generating", "ranking"])
        for stage in stages {
            isStopped { _ = try captioner.captions(of: picture, options, progress: { $0.stage.name != stage }) }
            #expect(try captioner.captions(of: picture, options).map(\.text) == expected, "after a stop while \(stage)")
        }
        var calls = 0
        isStopped {
            _ = try Drawer(session).draw("кошка", progress: { _ in
                calls += 1
                return calls < 20
            })
        }
        #expect(calls == 20)
        isStopped { _ = try Ranker(session).ranked([image.indices], by: "яблоко") { _ in false } }
        isStopped { _ = try Classifier(session).classify(tokens: image.indices, as: ["яблоко"]) { _ in false } }
        isStopped { _ = try Completer(session).complete("красный", progress: { _ in false }) }
        isStopped { _ = try Asker(session).ask("что?", progress: { _ in false }) }
        #expect(try captioner.captions(of: picture, options).map(\.text) == expected)
    }

    @Test func aRaisedFlagStopsWhateverRuns() throws {
        for threads in [1, 2] {
            let session = try Demo.session(.int8, threads: threads)
            let image = try #require(try Golden.images().first)
            let picture = try Golden.picture(image.png)
            session.stop.raise()
            #expect(session.stop.isRaised)
            isStopped { _ = try session.imageTokens(of: picture) }
            isStopped { _ = try session.image(of: image.indices) }
            isStopped { _ = try Captioner(session).captions(tokens: image.indices, .greedy) }
            isStopped { try session.logits(of: [2, 3]) { _, _ in } }
            isStopped { _ = try Drawer(session).draw("кошка") }
            session.stop.lower()
            #expect(try Captioner(session).captions(of: picture, .greedy).first?.ids == image.caption_ids)
            // Raised in the middle, as a signal handler does.
            var calls = 0
            isStopped {
                _ = try Captioner(session).captions(of: picture, .greedy, progress: { _ in
                    calls += 1
                    if calls == 4 { session.stop.raise() }
                    return true
                })
            }
            #expect(calls == 4)
            session.stop.lower()
            #expect(try Captioner(session).captions(of: picture, .greedy).first?.ids == image.caption_ids)
            #expect(try session.imageTokens(of: picture) == image.indices)
        }
    }

    /// A pass that skipped layers is no result, whatever the flag says when it ends.
    @Test func aFlagLoweredSoonAfterNeverLetsGarbageThrough() throws {
        for threads in [1, 2] {
            let session = try Demo.session(.f16, threads: threads)
            let image = try #require(try Golden.images().first)
            let picture = try Golden.picture(image.png)
            let pixels = try session.image(of: image.indices).pixels
            let flag = session.stop
            let toggling = Thread {
                while !Thread.current.isCancelled {
                    flag.raise()
                    usleep(100)
                    flag.lower()
                    usleep(100)
                }
            }
            toggling.start()
            defer { toggling.cancel() }
            for turn in 0..<200 {
                do throws(RudolphError) {
                    if turn % 2 == 0 {
                        let tokens = try session.imageTokens(of: picture)
                        #expect(tokens == image.indices)
                    } else {
                        let drawn = try session.image(of: image.indices)
                        #expect(drawn.pixels == pixels)
                    }
                } catch {
                    #expect(error.kind == .stopped, "\(error)")
                }
            }
        }
    }

    @Test func failedPassesKeepNoCaches() throws {
        let session = try Demo.session(.int4)
        func fail(token: Int, _ expected: String) throws {
            weak var kept: KeyValueCache?
            do {
                let cache = try session.cache(start: 0, .positions(capacity: 1))
                kept = cache
                #expect(message { try session.transformer.pass([.init(token: token, position: 0, cache: 0)], caches: [cache]) } == expected)
            }
            #expect(kept == nil, "after \(expected)")
        }
        try fail(token: -1, "token -1 at position 0, expected a token less than 2096")
        session.stop.raise()
        try fail(token: 2, "stopped")
    }

    @Test func aFlagRaisedByAnotherThreadEndsADrawing() async throws {
        let session = try Demo.session(.f16)
        let flag = session.stop
        let stopper = Thread {
            Thread.sleep(forTimeInterval: 0.1)
            flag.raise()
        }
        stopper.start()
        var options = DrawOptions()
        options.count = 4096
        options.batch = 64
        isStopped { _ = try Drawer(session).draw("кошка", options) }
    }
}

@Suite struct HandlerTests {
    /// What handlers may do with the session changes nothing.
    @Test func picturesInHandlersChangeNothing() throws {
        let session = try Demo.session(.f16)
        let image = try #require(try Golden.images().first)
        let picture = try Golden.picture(image.png)
        let pixels = try session.image(of: image.indices).pixels
        var pictures = 0
        func use() {
            pictures += 1
            #expect((try? session.imageTokens(of: picture)) == image.indices)
            #expect((try? session.image(of: image.indices).pixels) == pixels)
            if pictures % 5 == 0 {
                session.releaseImageEncoder()
                session.releaseImageDecoder()
            }
        }
        let handler: ProgressHandler = { _ in
            use()
            return true
        }
        var drawing = DrawOptions()
        drawing.count = 2
        drawing.seed = 4
        drawing.guidance = Guidance()
        let drawn = try Drawer(session).draw("кошка", drawing).map(\.tokens)
        #expect(try Drawer(session).draw("кошка", drawing, partial: { _, _ in use() }, progress: handler).map(\.tokens) == drawn)
        var options = CaptionOptions()
        options.candidates = 4
        options.seed = 1
        let captions = try Captioner(session).captions(of: picture, options).map(\.ids)
        #expect(try Captioner(session).captions(of: picture, options, progress: handler).map(\.ids) == captions)
        #expect(pictures > 80)
    }
}

@Suite struct TaskInputTests {
    let image: Golden.Image
    let session: Session

    init() throws {
        image = try #require(try Golden.images().first)
        session = try Demo.session(.int4)
    }

    @Test func imageTokensAreChecked() throws {
        for tokens in [[], [0], [Int](repeating: 0, count: 65)] {
            #expect(message { _ = try Captioner(session).captions(tokens: tokens, .greedy) } == "\(tokens.count) image tokens, expected 64")
            #expect(message { _ = try session.image(of: tokens) } == "\(tokens.count) image tokens, expected 64")
        }
        for token in [-1, 1024, .max, .min] {
            let tokens = [token] + [Int](repeating: 0, count: 63)
            let expected = "image token \(token), expected 0 to 1023"
            #expect(message { _ = try Captioner(session).captions(tokens: tokens, .greedy) } == expected)
            #expect(message { _ = try Asker(session).ask("что?", tokens: tokens) } == expected)
            #expect(message { _ = try Asker(session).askEach([("что?", nil, 1), ("что?", tokens, 2)]) } == expected)
            #expect(message { _ = try Ranker(session).ranked([tokens], by: "кошка") } == expected)
            #expect(message { _ = try Classifier(session).classify(tokens: tokens, as: ["кошка"]) } == expected)
            #expect(message { _ = try session.image(of: tokens) } == expected)
        }
    }

    @Test func countsAreChecked() throws {
        for candidates in [0, -1, 4097, .max] {
            var captions = CaptionOptions()
            captions.candidates = candidates
            #expect(message { _ = try Captioner(session).captions(tokens: image.indices, captions) }.hasPrefix("\(candidates) candidates"))
            var completions = CompleteOptions()
            completions.candidates = candidates
            #expect(message { _ = try Completer(session).complete("а", completions) }.hasPrefix("\(candidates) candidates"))
            var answers = AskOptions()
            answers.candidates = candidates
            #expect(message { _ = try Asker(session).ask("а", answers) }.hasPrefix("\(candidates) candidates"))
            var drawings = DrawOptions()
            drawings.candidates = candidates
            drawings.count = candidates == 4097 ? 1 : 2
            #expect(message { _ = try Drawer(session).draw("кошка", drawings) }.contains("\(candidates) candidates"))
        }
        for batch in [Int.min, 0, 65, .max] {
            var drawings = DrawOptions()
            drawings.batch = batch
            #expect(message { _ = try Drawer(session).draw("кошка", drawings) } == "a batch of \(batch), expected 1 to 64")
        }
        // Two sequences each where they are guided.
        #expect(2 * Session.maximumBatch <= Session.positionsAtOnce)
        for threads in [0, -1, 1025] { #expect(message { _ = try Session(session.model, threads: threads) }.hasPrefix("\(threads) threads")) }
        // No system has room for such stacks.
        let refused = message { try Session.checkThreads(2000, stackBytes: 1 << 62) }
        #expect(refused.wholeMatch(of: /2000 threads, expected at most \d+: the system lets this process have no more .*/) != nil, "\(refused)")
        try Session.checkThreads(3, stackBytes: 1)
        for maximum in [Int.min, -1, 0, 2] {
            var captions = CaptionOptions.greedy
            captions.maximumTokens = maximum
            #expect(message { _ = try Captioner(session).captions(tokens: image.indices, captions) }.contains("no room"))
        }
        var captions = CaptionOptions.greedy
        captions.maximumTokens = 4
        #expect(try Captioner(session).captions(tokens: image.indices, captions).first?.ids.count == 4)
        #expect(message { _ = try Classifier(session).classify(tokens: image.indices, as: []) } == "no classes, expected at least one")
        #expect(message { _ = try Ranker(session).ranked([], by: "кошка") } == "no pictures to rank")
        for weight: Float in [-0.5, 1.5, .infinity, .nan] {
            let refused = message { _ = try Ranker(session).ranked([image.indices], by: "кошка", textWeight: weight) }
            #expect(refused == "a text weight of \(Double(weight)), expected 0 to 1")
        }
    }

    @Test func textsAreChecked() throws {
        let long = String(repeating: "красное яблоко ", count: 40)
        #expect(message { _ = try Drawer(session).draw(" \n") }.contains("empty"))
        #expect(message { _ = try Asker(session).ask("") }.contains("empty"))
        #expect(message { _ = try Completer(session).complete(long) }.contains("leaves no room"))
        var captions = CaptionOptions.greedy
        captions.template = long
        #expect(message { _ = try Captioner(session).captions(tokens: image.indices, captions) }.contains("leaves no room"))
        // Long questions, prompts and classes are cut, as the reference cuts them.
        captions = .greedy
        captions.leftText = long
        #expect(try Captioner(session).captions(tokens: image.indices, captions).count == 1)
        var drawing = DrawOptions()
        drawing.sampling = .greedy
        #expect(try Drawer(session).draw(long, drawing).count == 1)
        #expect(try Classifier(session).classify(tokens: image.indices, as: [long, "кошка"]).count == 2)
        var asking = AskOptions()
        asking.leftTaskToken = "<LT_NONE>"
        #expect(message { _ = try Asker(session).ask("что?", asking) }.contains("has no task token <LT_NONE>"))
        drawing.taskToken = ""
        #expect(message { _ = try Drawer(session).draw("кошка", drawing) }.contains("has no task token"))
    }

    /// Perplexities whose squares are no floats, in an order that is none of theirs.
    @Test func classesAreOrderedByPerplexity() {
        let classes = Classifier.ordered(["а", "б", "в", "г"], [1e25, 3e38, 2, 1.5])
        #expect(classes.map(\.name) == ["г", "в", "а", "б"])
        #expect(classes.map(\.perplexity) == [1.5, 2, 1e25, 3e38])
        #expect(classes.allSatisfy { $0.score > 0 && $0.score < 1 }, "\(classes)")
        #expect(Classifier.ordered(["а", "б", "в"], [1e40, 1e39, 1e39]).map(\.name) == ["б", "в", "а"])
        // The reference: softmax of [3, 4] / 5.
        let usual = Classifier.ordered(["а", "б"], [4, 3])
        #expect(usual.map(\.name) == ["б", "а"])
        #expect(abs(usual[0].score - 0.450166) < 1e-6 && abs(usual[1].score - 0.549834) < 1e-6, "\(usual)")
    }

    @Test func imageTokenizersStayInMemoryUnlessToldNotTo() throws {
        let session = try Demo.session(.int8)
        let picture = try Golden.picture(image.png)
        let tokens = try session.imageTokens(of: picture)
        let pixels = try session.image(of: tokens).pixels
        #expect(session.encoder != nil && session.decoder != nil)
        session.keepsImageTokenizer = false
        #expect(try session.imageTokens(of: picture) == tokens)
        #expect(try session.image(of: tokens).pixels == pixels)
        #expect(session.encoder == nil && session.decoder == nil)
        session.stop.raise()
        #expect(throws: RudolphError.self) { try session.imageTokens(of: picture) }
        #expect(session.encoder == nil)
    }

    @Test func onlyAllowedTokensAreGenerated() throws {
        var options = CompleteOptions()
        options.candidates = 6
        options.seed = 3
        options.allowedTokens = [109, 341, 1597]
        for completion in try Completer(session).complete("красный", options) {
            let prompt = session.model.tokenizer.encode("красный").count + 2
            #expect(completion.ids.dropFirst(prompt).allSatisfy { [109, 341, 1597].contains($0) }, "\(completion.ids)")
            #expect(completion.perplexity.isFinite && completion.perplexity >= 1)
        }
        // In any order, and each as often as one likes.
        let texts = try Completer(session).complete("красный", options).map(\.ids)
        options.allowedTokens = [1597, 109, 341, 109]
        #expect(try Completer(session).complete("красный", options).map(\.ids) == texts)
        options.allowedTokens = []
        #expect(message { _ = try Completer(session).complete("а", options) } == "an empty list of allowed tokens")
        for token in [-1, 2096, .max] {
            options.allowedTokens = [token]
            #expect(message { _ = try Completer(session).complete("а", options) } == "allowed token \(token), expected 0 to 2095")
        }
    }

    @Test func borderSizesAreChecked() throws {
        let picture = try Golden.picture(image.png)
        for count in [-1, 9, .max, .min] {
            let found = message { _ = try ImagePrompt(picture, keeping: .init(left: count), in: session) }
            #expect(found == "a border of \(count) tokens, expected 0 to 8")
        }
        for encoding in [ImagePrompt.Encoding.whole, .borders] {
            let all = try ImagePrompt(picture, keeping: .init(up: 8, down: 8, left: 8, right: 8), encoding: encoding, in: session)
            #expect(all.tokens == image.indices)
            #expect(try ImagePrompt(picture, keeping: .init(), encoding: encoding, in: session).tokens.allSatisfy { $0 == nil })
        }
        // Of models with other pictures, and of one with more codes.
        for (tokens, expected) in [
            ([nil], "an image prompt of 1 tokens, expected 64"), ([Int?](repeating: nil, count: 63), "an image prompt of 63 tokens"),
            ([Int?](repeating: 1, count: 256), "an image prompt of 256 tokens"),
            ([1024] + [Int?](repeating: nil, count: 63), "image token 1024, expected 0 to 1023"),
        ]as [([Int?], String)] {
            var options = DrawOptions()
            options.prompt = ImagePrompt(tokens: tokens)
            var calls = 0
            let found = message {
                _ = try Drawer(session).draw("кошка", options, progress: { _ in
                    calls += 1
                    return true
                })
            }
            #expect(found.hasPrefix(expected) && calls == 0, "\(found) after \(calls) steps")
        }
        for weight: Float in [-0.1, 1.1, .nan] {
            var options = DrawOptions()
            options.guidance = Guidance(weight: weight)
            #expect(message { _ = try Drawer(session).draw("кошка", options) }.contains("guidance weight"))
        }
    }
}
