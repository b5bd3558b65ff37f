import ArgumentParser
import CommandSupport
import Rudolph

/// How tokens are drawn. What is not given is the task's own default.
struct SamplingArguments: ParsableArguments {
    @Option(help: ArgumentHelp("Draw from the k most probable tokens; 0 takes all.", valueName: "k"))
    var topK: Int?

    @Option(help: ArgumentHelp("Draw from the most probable tokens that together reach probability p.", valueName: "p"))
    var topP: Float?

    @Option(help: ArgumentHelp("Below 1 for likelier, above 1 for more varied results.", valueName: "t"))
    var temperature: Float?

    @Flag(help: "Always the most probable token: the same result every time.")
    var greedy = false

    @Option(help: seedHelp)
    var seed: UInt64?

    func validate() throws {
        if let topK, topK < 0 { throw ValidationError("--top-k is \(topK); expected 0 or more") }
        if let topP, !(topP >= 0 && topP <= 1) { throw ValidationError("--top-p is \(topP); expected 0 to 1") }
        let smallest = SamplingOptions.smallestTemperature
        if let temperature, !(temperature >= smallest && temperature.isFinite) {
            throw ValidationError("--temperature is \(temperature); expected \(decimal(Double(smallest), places: 6)) or more")
        }
        if greedy, topK ?? 1 != 1 || topP != nil || temperature != nil || seed != nil {
            throw ValidationError("--greedy takes the most probable tokens: no --top-k, --top-p, --temperature or --seed")
        }
    }

    func sampling(_ standard: SamplingOptions) -> SamplingOptions {
        if greedy { return .greedy }
        return SamplingOptions(temperature: temperature ?? standard.temperature, topK: topK ?? standard.topK, topP: topP ?? standard.topP)
    }
}

let seedHelp = ArgumentHelp(
    """
    The same seed gives the same results, on other processors too where no picture is read or --image-arithmetic is winograd (default: a \
    random one, which is told).
    """, valueName: "n")

extension SharedOptions {
    /// The seed that was given, or a random one, which standard error is told; nil where nothing is drawn.
    func seed(_ sampling: SamplingArguments) -> UInt64? {
        sampling.greedy ? nil : seed(sampling.seed)
    }

    func seed(_ given: UInt64?) -> UInt64 {
        if let given { return given }
        // Short enough to be typed, and the same in JSON readers whose numbers are doubles.
        let seed = UInt64(UInt32.random(in: .min ... .max))
        if !quiet { note("seed: \(seed)") }
        return seed
    }
}

extension JSONObject {
    /// What a result was drawn with; nil where it was not.
    mutating func set(seed: UInt64?) {
        if let seed { set("seed", seed) }
    }
}

/// Throws unless a number of texts or pictures can be had.
func validateCount(_ option: String, _ count: Int?, atMost limit: Int) throws {
    if let count, !(1...limit).contains(count) { throw ValidationError("\(option) is \(count); expected 1 to \(limit)") }
}

/// Throws where a text is nothing but white space.
func validateText(_ what: String, _ text: String) throws {
    if Tokenizer.lowercasedAndStripped(text).isEmpty { throw ValidationError("\(what) is empty; expected some words") }
}
