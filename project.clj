(defproject qold "0.1.0"
  :resource-paths ["_resources"]
  :target-path "_build"
  :min-lein-version "2.0.0"
  ;; storm-core needs a library that lives on Clojars only and that nothing here uses. An exclusion
  ;; on storm-core itself would hide its version from `sparse`, so it is made one step further down.
  :managed-dependencies [[org.apache.storm/storm-clojure "2.8.3"
                          :exclusions [org.clojars.bipinprasad/carbonite]]]
  :dependencies [[org.apache.storm/storm-core "2.8.3"]]
  :profiles {:base {}
             :uberjar {:dependencies ^:replace []}})
