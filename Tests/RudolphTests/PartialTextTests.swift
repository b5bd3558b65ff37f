import Testing

@testable import Rudolph

/// Texts that are told while they grow.
@Suite struct PartialTextTests {
    let image: Golden.Image
    let session: Session

    init() throws {
        image = try #require(try Golden.images().first)
        session = try Demo.session(.int8)
    }

    /// The pieces that a task tells, none of them empty.
    func pieces(_ task: (@escaping PartialTextHandler) throws -> Void) rethrows -> [String] {
        var pieces: [String] = []
        try task {
            #expect(!$0.isEmpty)
            pieces.append(String($0))
        }
        return pieces
    }

    @Test(arguments: [nil, "на картинке ", "что это?"])
    func captionsGrow(template: String?) throws {
        let captioner = Captioner(session)
        var options = CaptionOptions.greedy
        options.template = template
        var text = ""
        var found = try pieces { text = try captioner.captions(tokens: image.indices, options, partial: $0).first?.text ?? "" }
        #expect(found.count > 1 && found.joined() == text, "\(found)")
        let picture = try Golden.picture(image.png)
        found = try pieces { text = try captioner.captions(of: picture, options, partial: $0).first?.text ?? "" }
        #expect(found.count > 1 && found.joined() == text, "\(found)")
    }

    /// Of several candidates the first one is told, which is the same by itself.
    @Test func theFirstCandidateIsTold() throws {
        let captioner = Captioner(session), asker = Asker(session), completer = Completer(session)
        for seed in 0..<8 as Range<UInt64> {
            for candidates in [1, 5] {
                var captions = CaptionOptions()
                (captions.candidates, captions.seed, captions.sampling.temperature) = (candidates, seed, 3)
                var answers = AskOptions()
                (answers.candidates, answers.seed, answers.sampling) = (candidates, seed, .answer)
                var texts = CompleteOptions()
                (texts.candidates, texts.seed, texts.sampling.temperature) = (candidates, seed, 3)
                let told = try [
                    pieces { _ = try captioner.captions(tokens: image.indices, captions, partial: $0) },
                    pieces { _ = try asker.ask("что на картинке?", tokens: image.indices, answers, partial: $0) },
                    pieces { _ = try asker.ask("красное яблоко. что это?", answers, partial: $0) },
                    pieces { _ = try completer.complete("Красный ", texts, partial: $0) },
                    pieces { _ = try completer.complete("", texts, partial: $0) },
                ].map { $0.joined() }
                (captions.candidates, answers.candidates, texts.candidates) = (1, 1, 1)
                let expected = try [
                    captioner.captions(tokens: image.indices, captions).first?.text,
                    asker.ask("что на картинке?", tokens: image.indices, answers).first?.text,
                    asker.ask("красное яблоко. что это?", answers).first?.text,
                    completer.complete("Красный ", texts).first?.text, completer.complete("", texts).first?.text,
                ]
                #expect(told == expected, "seed \(seed), \(candidates) candidates")
            }
        }
    }

    /// Each answer as it is, and as it is by itself; several grow at the same time.
    @Test func answersOfSeveralQuestionsGrowSideBySide() throws {
        let asker = Asker(session)
        let questions: [(question: String, tokens: [Int]?, seed: UInt64)] = [
            ("что на картинке?", image.indices, 1), ("красное яблоко. что это?", nil, 2), ("что на картинке?", image.indices, 3),
        ]
        var options = AskOptions()
        options.sampling = SamplingOptions(temperature: 2, topK: 0, topP: 1)
        var told = [String](repeating: "", count: questions.count), order: [Int] = []
        let answers = try asker.askEach(questions, options, partial: { question, piece in
            #expect(!piece.isEmpty)
            told[question] += piece
            order.append(question)
        })
        #expect(told == answers.map(\.text) && !told.contains(""), "\(told)")
        #expect(order != order.sorted(), "\(order)")
        for (entry, text) in zip(questions, told) {
            options.seed = entry.seed
            let own = try pieces { _ = try asker.ask(entry.question, tokens: entry.tokens, options, partial: $0) }
            #expect(own.joined() == text, "\(entry)")
        }
        var before = [String](repeating: "", count: questions.count)
        let found = message {
            _ = try asker.askEach(
                questions, options, partial: { before[$0] += $1 }, progress: { $0.stage != .generating || $0.done < 3 })
        }
        #expect(found == "stopped" && zip(told, before).allSatisfy { $0.hasPrefix($1) } && before != told, "\(before)")
    }

    /// What it begins with, and the token that needs no step, before the first step; then each with its own.
    @Test func piecesComeAsTokensAreDecided() throws {
        var steps: [Int] = []
        var told: [(text: String, after: Int)] = []
        var options = CompleteOptions()
        (options.candidates, options.sampling) = (1, .greedy)
        let completion = try #require(
            try Completer(session).complete(
                "красное", options, partial: { told.append((String($0), steps.last ?? 0)) },
                progress: {
                    if $0.stage == .generating { steps.append($0.done) }
                    return true
                }
            ).first)
        let first = told.prefix { $0.after == 0 }.map(\.text).joined()
        #expect(first.hasPrefix("красное") && first != completion.text, "\(told)")
        #expect(told.map(\.text).joined() == completion.text)
        let places = told.map(\.after)
        #expect(places == places.sorted() && Set(places).count > 2, "\(told)")
    }

    @Test func aStoppedTextIsToldInPart() throws {
        var told = ""
        let options = CaptionOptions.greedy
        let found = message {
            _ = try Captioner(session).captions(
                tokens: image.indices, options, partial: { told += $0 }, progress: { $0.stage != .generating || $0.done < 3 })
        }
        #expect(found == "stopped" && !told.isEmpty && image.caption.hasPrefix(told) && told != image.caption, "\(told)")
    }

    /// Characters that are white space at either end or within, pieces that begin with none, and ids that are no text.
    @Test func whateverTheTokensTheTextIsTheSame() throws {
        let spaces: [UInt32] = [0x2581, 0x09, 0x20, 0xa0, 0x3000, 0x85, 0x2009], letters: [UInt32] = [0x61, 0x436, 0x1f34e, 0x301, 0x200d]
        var model = TokenizerModel(codepoints: spaces + letters, codepointIDs: (4..<16).map { $0 })
        // Pairs of all kinds, then pairs of those.
        var generator = SplitMix64(state: 3)
        for id in 16..<60 as Range<UInt32> {
            model.rules += [UInt32.random(in: 4..<id, using: &generator), UInt32.random(in: 4..<id, using: &generator), id]
        }
        let tokenizer = try model.tokenizer()
        #expect(tokenizer.longestPiece == (0..<60).map { tokenizer.text(of: $0).utf8.count }.max())
        for length in 0..<2000 {
            let ids = (0..<length % 13).map { _ in Int.random(in: 4..<61, using: &generator) }
            let expected = Tokenizer.stripped(tokenizer.decode(ids))
            let found = pieces { handler in
                let stream = TextStream(tokenizer, length: ids.count, handler)
                for id in ids { stream.append(id) }
            }
            #expect(found.joined().utf8.elementsEqual(expected.utf8), "\(ids)")
        }
    }

    /// More than is thought of when room is made.
    @Test func longPiecesAreToldWhole() throws {
        var model = TokenizerModel(codepoints: [0x2581, 0x436], codepointIDs: [4, 5])
        for id in 6..<18 as Range<UInt32> { model.rules += [id - 1, id - 1, id] }
        let tokenizer = try model.tokenizer()
        let found = pieces { handler in
            let stream = TextStream(tokenizer, length: 3, handler)
            for id in [17, 4, 16] { stream.append(id) }
        }
        #expect(found == [String(repeating: "ж", count: 4096), " " + String(repeating: "ж", count: 2048)])
    }
}
