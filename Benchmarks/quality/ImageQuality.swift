import Foundation
import Rudolph

/// How close the image tokenizer comes to the reference.
struct ImageQuality {
    /// Tokens of pictures that are the reference's.
    var tokens = Quality.Share()
    /// The others: "file at position".
    var different: [String] = []
    /// Of pictures decoded from the reference's tokens, against the reference's pixels; 8-bit steps.
    var decodedPSNR = Double.infinity, decodedDifference = 0

    init(_ session: Session, _ pictures: [Reference.Emoji], _ decoded: [Reference.Decoded]) throws {
        for picture in pictures {
            let found = try session.imageTokens(of: try Reference.picture("emoji/\(picture.file)"))
            guard found.count == picture.tokens.count else { throw RudolphError("\(picture.file): \(found.count) tokens") }
            for (index, (token, expected)) in zip(found, picture.tokens).enumerated() {
                tokens.add(token == expected)
                if token != expected { different.append("\(picture.file) at \(index)") }
            }
        }
        var squares = 0.0, count = 0
        for reference in decoded {
            let expected = try Reference.picture(reference.file).pixels
            let pixels = try session.image(of: reference.tokens).pixels
            guard pixels.count == expected.count else { throw RudolphError("\(reference.file): another size") }
            for (found, wanted) in zip(pixels, expected) {
                let difference = abs(Int(found) - Int(wanted))
                decodedDifference = max(decodedDifference, difference)
                squares += Double(difference * difference)
            }
            count += pixels.count
        }
        if squares > 0 { decodedPSNR = 10 * log10(255 * 255 * Double(count) / squares) }
    }
}
