import Testing

@testable import Rudolph
@testable import RudolphCommand

/// What a model says that tasks need, beside what sessions allocate.
@Suite struct SummaryTests {
    @Test(arguments: Demo.types, ImageArithmetic.allCases)
    func imageTokenizersTakeWhatWasSaid(type: WeightType, arithmetic: ImageArithmetic) throws {
        let model = try Demo.session(type).model
        for threads in [1, 3] {
            try Demo.withAllInstructionSets {
                let session = try Session(model, threads: threads, imageArithmetic: arithmetic)
                let summary = model.summary(threads: threads, imageArithmetic: arithmetic)
                let tokens = [Int](repeating: 0, count: model.configuration.imageLength)
                _ = try session.imageTokens(of: try session.image(of: tokens))
                let (encoder, decoder) = (try #require(session.encoder), try #require(session.decoder))
                #expect(summary.imageEncoderBytes == UInt64(encoder.buffers.sizes.bytes))
                #expect(summary.imageDecoderBytes == UInt64(decoder.buffers.sizes.bytes))
            }
        }
    }

    @Test func needsAreThoseOfWhatIsInMemoryAtOnce() throws {
        let summary = try Demo.session(.int8).model.summary(threads: 1)
        func file(_ name: String) -> UInt64 { UInt64(summary.parts.first { $0.name == name }?.bytes ?? 0) }
        let encoder = file("image encoder") + summary.imageEncoderBytes
        let decoder = file("image decoder") + summary.imageDecoderBytes
        let transformer =
            file("embeddings") + file("layers") + file("head") + file("left text") + summary.transformerBytes + summary.cacheBytes
        #expect(summary.imageEncoderNeededBytes == encoder && summary.imageDecoderNeededBytes == decoder)
        #expect(encoder > summary.imageEncoderBytes && decoder > summary.imageDecoderBytes)
        #expect(summary.neededBytes == max(transformer, encoder))
        for extra: UInt64 in [0, 1, decoder, 3 * decoder] {
            #expect(summary.neededBytes(beside: extra) == max(transformer + extra, encoder))
            #expect(summary.drawingNeededBytes(beside: extra, isDecoderKept: false) == transformer + max(extra, decoder))
            #expect(summary.drawingNeededBytes(beside: extra, isDecoderKept: true) == transformer + extra + decoder)
        }
    }

    /// The first picture is read before the transformer's weights are, the others beside them.
    @Test func captionsOfSeveralPicturesNeedTheEncoderBesideTheTransformer() throws {
        let model = try Demo.session(.int8).model, summary = model.summary(threads: 1)
        func needed(_ candidates: Int, _ pictures: Int) -> UInt64 {
            Work.texts(candidates, pictures: pictures).neededBytes(model, summary, .f16)
        }
        #expect(needed(1, 1) == summary.neededBytes(beside: model.summary(batch: 1).captionLogitBytes))
        #expect(needed(1, 2) == needed(1, 1) + summary.imageEncoderNeededBytes)
        #expect(needed(1, 3) == needed(1, 2))
        #expect(Work.texts(1, isRanked: true).neededBytes(model, summary, .f16) > needed(1, 1))
        // So many candidates that their keys and values outweigh the encoder, which is there before and after them.
        #expect(needed(4096, 2) == needed(4096, 1))
    }

    /// Fewer than fill a pass, and several passes.
    @Test(arguments: [1, 2, 7, 40, 300], KeyValueFormat.allCases)
    func classesTakeNoMoreLogitsThanWasSaid(count: Int, format: KeyValueFormat) throws {
        let session = try Demo.session(.int8, cache: format), model = session.model
        let length = model.configuration.rightTextLength
        let names = (0..<count).map { "\($0) " + [String](repeating: "кот", count: length).joined(separator: " ") }
        _ = try Classifier(session).classify(tokens: [Int](repeating: 0, count: model.configuration.imageLength), as: names)
        let said = model.summary(scoring: count, length: length, keyValueFormat: format)
        let taken = UInt64(4 * session.transformer.logitsCapacity)
        #expect(taken <= said.logitBytes && 2 * taken > said.logitBytes, "\(taken) of \(said.logitBytes) bytes")
        let summary = model.summary(threads: 1, keyValueFormat: format)
        let needed = Work.classes(count).neededBytes(model, summary, format)
        #expect(needed == summary.neededBytes(beside: said.cacheBytes + said.logitBytes))
        #expect(needed >= summary.neededBytes + taken)
    }

    /// The keys and values of all texts of a pass, and of the one before, which may go on in it, are there at once.
    @Test func textsOfAPassHaveTheirKeysAndValues() throws {
        let model = try Demo.session(.int8).model
        for length in 1...model.configuration.leftTextLength {
            for count in [1, 2, 3, 5, 8, 13, 40, 100, 1000] {
                var most = 0
                for start in stride(from: 0, to: count * length, by: Session.positionsAtOnce) {
                    let last = (min(start + Session.positionsAtOnce, count * length) - 1) / length
                    most = max(most, (last - max(0, start - 1) / length + 1) * length)
                }
                let said = model.summary(scoring: count, length: length).cacheBytes
                #expect(said >= KeyValueCache.bytes(model.configuration, .f16, .positions(capacity: most)), "\(count) texts of \(length)")
            }
        }
    }

    /// A ranking computes the logits of a whole picture at once, a batch of answers those of each of its texts.
    @Test func rankingsTakeNoMoreLogitsThanWasSaid() throws {
        let session = try Demo.session(.int8), model = session.model
        var options = CaptionOptions()
        (options.candidates, options.seed) = (2, 1)
        let tokens = [Int](repeating: 0, count: model.configuration.imageLength)
        _ = try Captioner(session).captions(tokens: tokens, options)
        let batch = model.summary(batch: 2)
        #expect(UInt64(4 * session.transformer.logitsCapacity) <= batch.captionLogitBytes(isRanked: true))
        let ranking = try Demo.session(.int8)
        _ = try Ranker(ranking).ranked([tokens], by: [String](repeating: "кот", count: 99).joined(separator: " "))
        #expect(UInt64(4 * ranking.transformer.logitsCapacity) <= batch.rankingLogitBytes)
        let continuing = try Demo.session(.int8)
        var texts = CompleteOptions()
        (texts.candidates, texts.seed, texts.sampling) = (40, 1, SamplingOptions(temperature: 3, topK: 0, topP: 1))
        _ = try Completer(continuing).complete("", texts)
        let scoring = model.summary(scoring: 40, length: model.configuration.leftTextLength)
        #expect(UInt64(4 * continuing.transformer.logitsCapacity) <= scoring.logitBytes)
    }
}
