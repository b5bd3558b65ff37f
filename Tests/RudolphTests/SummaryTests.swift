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
        // So many candidates that their keys and values outweigh the encoder, which is there before and after them.
        #expect(needed(4096, 2) == needed(4096, 1))
    }
}
