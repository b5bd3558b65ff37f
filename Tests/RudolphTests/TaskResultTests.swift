import Testing

@testable import Rudolph

/// What tasks make of what was generated, and that texts and pictures do not depend on those beside them.
@Suite struct TaskResultTests {
    let image: Golden.Image
    let session: Session

    init() throws {
        image = try #require(try Golden.images().first)
        session = try Demo.session(.int4)
    }

    /// Of captions that begin with a word, of up to so many tokens more.
    func generation(upTo tokens: Int, _ sampling: SamplingOptions = .text) throws -> TextGeneration {
        let configuration = session.model.configuration
        let beginning = try session.rightSegment("красное", task: TaskToken.caption)
        return try TextGeneration(
            session, beginning: beginning, at: configuration.rightTextStart..<configuration.sequenceLength,
            maximumTokens: beginning.count - 1 + tokens, sampling: sampling, rows: configuration.textTokenRows)
    }

    @Test func equalTextsAreCountedWithoutSpecialTokens() throws {
        let tokenizer = session.model.tokenizer
        let word = tokenizer.encode("яблоко"), task = session.model.configuration.textVocabularySize
        let specials = [tokenizer.unknownID, tokenizer.padID, tokenizer.beginID]
        let generation = try generation(upTo: 3 * word.count)
        let texts = [word, specials + word, [task] + word, [], word]
        let found = generation.counted(texts, each: 3)
        #expect(found.map(\.text) == ["красное яблоко", "красное"] && found.map(\.count) == [12, 3], "\(found)")
        // The end is there unless the text fills its segment.
        #expect(found.first?.ids == generation.prompt + word + [tokenizer.endID])
        let full = word + word + word
        #expect(generation.counted([full]).first?.ids == generation.prompt + full)
    }

    @Test func emptyTextsCountOnlyWhereThereIsNothingElse() {
        typealias Found = (text: String, ids: [Int], count: Int)
        var found: [Found] = [("", [1], 5), ("кот", [2], 1)]
        Session.removeEmpty(from: &found)
        #expect(found.map(\.text) == ["кот"])
        found = [("", [1], 5)]
        Session.removeEmpty(from: &found)
        #expect(found.map(\.text) == [""])
        #expect(Session.byCount([("а", [], 1), ("б", [], 3), ("в", [], 1), ("г", [], 3)]) == [1, 3, 0, 2])
    }

    @Test func aTaskTokenEndsAText() throws {
        var options = CompleteOptions()
        options.candidates = 2
        options.allowedTokens = [session.model.configuration.textVocabularySize + 1]
        let prompt = try session.leftSegment("красное", task: options.taskToken, isPadded: false)
        #expect(try Completer(session).complete("красное", options).map(\.ids) == [prompt])
    }

    @Test func textsAreCutWithoutAnEnd() throws {
        let long = String(repeating: "красное яблоко ", count: 40)
        let ids = session.model.tokenizer.encode(long)
        let (left, right) = (try session.leftSegment(long, task: "<LT_T2I>"), try session.rightSegment(long, task: "<RT_I2T>"))
        #expect(left.dropFirst(2) == ids.prefix(left.count - 2) && left.count == session.model.configuration.leftTextLength)
        #expect(right.dropFirst(2) == ids.prefix(right.count - 2) && right.count == session.model.configuration.rightTextLength)
    }

    /// As the reference's `self_reranking_by_image`: each text as the left text of a drawing of this picture.
    @Test func captionsAreScoredByTheirPerplexitiesAndCounts() throws {
        var options = CaptionOptions()
        options.candidates = 24
        options.seed = 1
        options.template = nil
        options.sampling = SamplingOptions(temperature: 1.2, topK: 64, topP: 0.95)
        let captions = try Captioner(session).captions(tokens: image.indices, options)
        try #require(captions.count > 4 && captions.contains { $0.count > 1 })
        #expect(captions.reduce(0) { $0 + $1.count } == 24)
        for caption in captions {
            let left = try session.leftSegment(caption.text, task: "<LT_T2I>")
            let (text, picture) = try session.perplexities(left: left, image: image.indices)
            #expect(caption.textPerplexity == text && caption.imagePerplexity == picture, "\(caption.text)")
        }
        let scores = Ranking.scores(
            text: try captions.map { try #require($0.textPerplexity) }, image: try captions.map { try #require($0.imagePerplexity) },
            textWeight: 0.05)
        #expect(captions.map(\.score) == zip(scores, captions).map { $0 / Float($1.count) })
        let found = try captions.map { try #require($0.score) }
        #expect(found == found.sorted())
    }

    @Test func severalQuestionsAreAnsweredAsOneByOne() throws {
        var options = AskOptions()
        options.sampling = SamplingOptions(temperature: 2, topK: 0, topP: 1)
        options.maximumTokens = 12
        let questions: [(question: String, tokens: [Int]?, seed: UInt64)] = [
            ("что это?", image.indices, 1), ("что это?", nil, 1), ("какого цвета?", image.indices, 2), ("что это?", image.indices, 3),
        ]
        let answers = try Asker(session).askEach(questions, options)
        for (entry, answer) in zip(questions, answers) {
            options.seed = entry.seed
            #expect(try Asker(session).ask(entry.question, tokens: entry.tokens, options).map(\.ids) == [answer.ids], "\(entry)")
        }
        #expect(answers.count == 4 && Set(answers.map(\.ids)).count == 4)
        // Where there is no picture its place is filled with token 0.
        options.seed = 1
        let blank = [Int](repeating: 0, count: image.indices.count)
        #expect(try Asker(session).ask("что это?", tokens: blank, options).map(\.ids) == [answers[1].ids])
    }

    /// More sequences than one pass takes, against each half of them by itself.
    @Test func moreTextsThanAPassTakesAreNoOthers() throws {
        let generation = try generation(upTo: 3, SamplingOptions(temperature: 3, topK: 0, topP: 1))
        let count = Session.positionsAtOnce + 8
        try session.readLeftText(try session.captionLeftText(), nil)
        let start = session.model.configuration.leftTextLength
        let first = [Float](try session.logits(after: image.indices + generation.prompt, from: start, head: generation.head, nil)[0])
        func texts(_ streams: Range<Int>) throws -> [[Int]] {
            let tails = try session.tails(streams.count, from: generation.positions.lowerBound, capacity: generation.positions.count)
            let sequences = streams.map { stream in
                TextGeneration.Sequence(
                    generator: RandomGenerator(seed: 7, stream: stream), cache: stream - streams.lowerBound + 1, prefix: 0, first: 0)
            }
            return try generation.run(sequences, caches: [session.prefix] + tails, first: [first], nil)
        }
        let all = try texts(0..<count)
        #expect(try texts(0..<count / 2) + texts(count / 2..<count) == all)
        #expect(Set(all).count > 8)
    }

    func perplexities(_ session: Session, of names: [String], _ options: ClassifyOptions) throws -> [Double] {
        try Classifier(session).perplexities(as: names, options, nil) { () throws(RudolphError) in image.indices }
    }

    @Test func classesAreReadBehindLeftTextsOfTheirOwn() throws {
        let classifier = Classifier(session)
        var options = ClassifyOptions()
        options.leftTemplate = "{} или {"
        options.rightTemplate = "{} и {}"
        let names = ["Кошка", "яблоко"]
        let both = try perplexities(session, of: names, options)
        for (name, perplexity) in zip(names, both) {
            #expect(try perplexities(session, of: [name], options) == [perplexity], "\(name)")
            var plain = ClassifyOptions()
            (plain.leftTemplate, plain.rightTemplate) = ("\(name) или {", "\(name) и \(name)")
            #expect(try perplexities(session, of: ["другое"], plain) == [perplexity], "\(name)")
        }
        #expect(try classifier.classify(tokens: image.indices, as: names, options).map(\.name).sorted() == names.sorted())
    }

    /// The passes that `work` takes.
    func passes(_ session: Session, _ work: () throws -> Void) rethrows -> Int {
        let before = session.transformer.passes
        try work()
        return session.transformer.passes - before
    }

    /// Classes that are read together, against each of them read behind the picture by itself.
    @Test(arguments: KeyValueFormat.allCases)
    func classesAreReadTogether(cache: KeyValueFormat) throws {
        let session = try Demo.session(.int4, threads: 2, cache: cache)
        let configuration = session.model.configuration
        let words = ["кошка", "яблоко", "красное яблоко", "гроза", "красный квадрат"]
        let left = try session.captionLeftText()
        func alone(_ text: String) throws -> Double {
            let right = try session.rightSegment(text, task: TaskToken.caption)
            try session.readLeftText(left, nil)
            try session.read(image.indices, from: left.count, nil)
            var perplexity = Perplexity()
            try session.score(
                right, from: configuration.rightTextStart, targets: Session.next(right), head: .text(rows: configuration.textTokenRows),
                into: &perplexity)
            return perplexity.mean
        }
        var options = ClassifyOptions()
        options.rightTemplate = "на картинке {}"
        // One, few that one pass takes with the picture, the same text twice, and more than fit, of which some are cut.
        for names in [["кошка"], words, ["кошка", "КОШКА"], words + words.flatMap { word in (0..<20).map { "\(word) \($0)" } }] {
            var found: [Double] = []
            let count = try passes(session) {
                try session.readLeftText(left, nil)
                found = try perplexities(session, of: names, options)
            }
            #expect(found == (try names.map { try alone("на картинке \($0)") }), "\(names.count) classes")
            if names.count <= words.count { #expect(count <= 2, "\(names.count) classes") } else { #expect(count < 6, "\(names.count) classes") }
        }
        var done: [Int] = []
        _ = try Classifier(session).classify(tokens: image.indices, as: words, options) {
            done.append($0.done)
            #expect($0.total == words.count)
            return true
        }
        #expect(done == [0])
    }

    /// Likewise continued texts, which share what they begin with.
    @Test func continuationsAreScoredTogether() throws {
        var options = CompleteOptions()
        (options.candidates, options.seed) = (48, 3)
        options.sampling = SamplingOptions(temperature: 2, topK: 64, topP: 1)
        var found: [Completion] = []
        let generated = session.model.configuration.leftTextLength
        let count = try passes(session) { found = try Completer(session).complete("красное яблоко", options) }
        try #require(found.count > 20)
        #expect(count < generated + found.count / 2)
        for completion in found {
            let segment = try session.leftSegment(completion.text, task: options.taskToken, isPadded: false)
            var perplexity = Perplexity()
            session.forgetLeftText()
            try session.score(
                segment, from: 0, targets: Session.next(segment), head: .text(rows: session.model.configuration.textTokenRows), into: &perplexity)
            #expect(completion.perplexity == perplexity.value, "\(completion.text)")
        }
    }
}

@Suite struct DrawingResultTests {
    let session: Session

    init() throws { session = try Demo.session(.int4) }

    @Test func severalTextsAreDrawnAsOneByOne() throws {
        let texts: [(text: String, seed: UInt64)] = [("кошка", 1), ("собака", 1), ("кошка", 2)]
        var options = DrawOptions()
        options.batch = 2
        let drawn = try Drawer(session).drawEach(texts, options)
        for (entry, tokens) in zip(texts, drawn) {
            options.seed = entry.seed
            #expect(try Drawer(session).draw(entry.text, options).map(\.tokens) == [tokens], "\(entry)")
        }
        #expect(Set(drawn).count == 3)
    }

    /// The other prompt alone decides, which is read behind the unknown task's token.
    @Test func guidanceOfAllWeightDrawsTheOtherPrompt() throws {
        var options = DrawOptions()
        options.sampling = .greedy
        options.guidance = Guidance(weight: 1, prompt: "красное яблоко")
        let guided = try Drawer(session).draw("кошка", options).map(\.tokens)
        options.guidance = nil
        options.taskToken = "<LT_UNK>"
        #expect(try Drawer(session).draw("красное яблоко", options).map(\.tokens) == guided)
    }

    @Test func handlersSeeEachRowOfEachBatch() throws {
        var options = DrawOptions()
        (options.count, options.batch, options.seed) = (3, 2, 5)
        var seen: [(first: Int, pictures: [[Int]])] = []
        var done: [Int] = []
        let drawn = try Drawer(session).draw(
            "кошка", options, partial: { seen.append(($0, $1)) },
            progress: {
                if $0.stage == .generating { done.append($0.done) }
                return true
            }
        ).map(\.tokens)
        #expect(seen.map(\.first) == [Int](repeating: 0, count: 7) + [Int](repeating: 2, count: 7))
        for (index, partial) in seen.enumerated() {
            let rows = index % 7 + 1
            #expect(partial.pictures == drawn[partial.first..<min(partial.first + 2, 3)].map { Array($0.prefix(8 * rows)) }, "call \(index)")
        }
        #expect(done == done.sorted() && done.first == 0 && done.last == 2 * 64 + 63, "\(done)")
    }

    /// What is kept goes through the transformer in as few passes as its keys allow, and what nothing drawn sees not at all; against each token in a
    /// pass of its own.
    @Test(arguments: KeyValueFormat.allCases, [false, true])
    func keptTokensAreReadTogether(cache: KeyValueFormat, isGuided: Bool) throws {
        let session = try Demo.session(.int4, threads: 2, cache: cache)
        let configuration = session.model.configuration
        let given = try #require(try Golden.images().first).indices
        let head = Transformer.Head.image(rows: configuration.imageVocabularySize)
        var options = DrawOptions()
        (options.count, options.seed) = (2, 11)
        if isGuided { options.guidance = Guidance(prompt: "собака") }

        func oneByOne(_ kept: [Int?], _ picture: Int) throws -> [Int] {
            session.forgetLeftText()
            let texts = [try session.leftSegment("кошка", task: options.taskToken)]
                + (isGuided ? [try session.leftSegment("собака", task: TaskToken.leftUnknown)] : [])
            let caches = try texts.map { _ in try session.cache(start: 0, .positions(capacity: configuration.rightTextStart)) }
            var logits = try texts.indices.map { [Float](try session.logits(after: texts[$0], from: 0, into: caches[$0], head: head, nil)[0]) }
            var sampler = Sampler(options.sampling), generator = RandomGenerator(seed: 11, stream: picture)
            var tokens: [Int] = []
            for token in kept {
                if let token {
                    tokens.append(token)
                } else if let guidance = options.guidance {
                    var other = logits[1]
                    logits[0].withUnsafeMutableBufferPointer { own in
                        other.withUnsafeMutableBufferPointer { tokens.append(sampler.next(own, guidedBy: $0, guidance, &generator)) }
                    }
                } else {
                    logits[0].withUnsafeMutableBufferPointer { tokens.append(sampler.next($0, &generator)) }
                }
                let position = configuration.leftTextLength + tokens.count - 1
                for (index, cache) in caches.enumerated() {
                    logits[index] = [Float](try session.logits(after: [tokens[tokens.count - 1]], from: position, into: cache, head: head, nil)[0])
                }
            }
            return tokens
        }
        func kept(_ isKept: (_ row: Int, _ column: Int) -> Bool) -> [Int?] { given.indices.map { isKept($0 / 8, $0 % 8) ? given[$0] : nil } }

        let cases: [(name: String, kept: [Int?], passes: Int)] = [
            // Two rows at once, as nothing is overwritten yet, the first token of the third, and then what lies between drawn ones.
            ("borders", kept { $0 < 2 || $0 > 4 || $1 < 1 || $1 > 5 }, 2 + 4 + 5 + 5),
            ("right half", kept { $1 > 3 }, 8 * 4 - 1),
            ("all but the last one", kept { $0 < 7 || $1 < 7 }, 1 + 6),
            ("scattered", kept { ($0 * 8 + $1) * 7 % 5 > 1 }, 25),
            ("all but the first one", kept { $0 > 0 || $1 > 0 }, 0),
            ("all", kept { _, _ in true }, 0),
        ]
        for (name, kept, expected) in cases {
            options.prompt = ImagePrompt(tokens: kept)
            let before = session.transformer.passes
            let drawn = try Drawer(session).draw("кошка", options).map(\.tokens)
            let passes = session.transformer.passes - before - (isGuided ? 2 : 1)
            #expect(drawn == (try (0..<2).map { try oneByOne(kept, $0) }), "\(name)")
            #expect(passes == expected, "\(name)")
        }
    }

    /// In the reference's order: where borders overlap the upper one wins, then the left and the right one.
    @Test func bordersAreEncodedByThemselves() throws {
        let image = try #require(try Golden.images().last)
        let picture = try Golden.picture(image.png)
        let (side, pixels) = (64, try ImagePreparation.prepare(picture, side: 64))
        func tokens(_ rows: Range<Int>, _ columns: Range<Int>) throws -> [Int] {
            var part: [UInt8] = []
            for y in rows.lowerBound * 8..<rows.upperBound * 8 {
                part += pixels[3 * (y * side + columns.lowerBound * 8)..<3 * (y * side + columns.upperBound * 8)]
            }
            return try session.tokens(ofPrepared: part, height: 8 * rows.count, width: 8 * columns.count)
        }
        let (up, down) = (try tokens(0..<2, 0..<8), try tokens(5..<8, 0..<8))
        let (left, right) = (try tokens(0..<8, 0..<1), try tokens(0..<8, 6..<8))
        let expected = (0..<64).map { index -> Int? in
            let (row, column) = (index / 8, index % 8)
            if row < 2 { return up[8 * row + column] }
            if column < 1 { return left[row] }
            if column >= 6 { return right[2 * row + column - 6] }
            return row >= 5 ? down[8 * (row - 5) + column] : nil
        }
        let borders = ImagePrompt.Borders(up: 2, down: 3, left: 1, right: 2)
        #expect(try ImagePrompt(picture, keeping: borders, encoding: .borders, in: session).tokens == expected)
        let whole = try ImagePrompt(picture, keeping: borders, in: session).tokens
        #expect(whole == expected.enumerated().map { $1 == nil ? nil : image.indices[$0] })
    }

    @Test func whatIsHalfWhiteIsKept() throws {
        let image = try #require(try Golden.images().last)
        let picture = try Golden.picture(image.png)
        var mask = [UInt8](repeating: 0, count: picture.width * picture.height * 3)
        try #require(picture.width == 64 && picture.height == 64)
        for index in mask.indices where index / 3 / 64 % 2 == 0 { mask[index] = 255 }
        mask[0] = 254
        let prompt = try ImagePrompt(picture, keepingWhiteOf: try RGBImage(width: 64, height: 64, pixels: mask), in: session)
        #expect(prompt.tokens == [nil] + image.indices.dropFirst().map { $0 })
    }
}
