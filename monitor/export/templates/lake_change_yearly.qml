<!DOCTYPE qgis PUBLIC 'http://mrcc.com/qgis.dtd' 'SYSTEM'>
<qgis version="3.22.0" styleCategories="Symbology|MapTips">
  <renderer-v2 attr="verdict" symbollevels="0" enableorderby="0" forceraster="0" type="categorizedSymbol">
    <categories>
      <category value="grown" type="string" symbol="0" label="grown" render="true" />
      <category value="shrunk" type="string" symbol="1" label="shrunk" render="true" />
      <category value="new" type="string" symbol="2" label="new" render="true" />
      <category value="drained" type="string" symbol="3" label="drained" render="true" />
      <category value="split off" type="string" symbol="4" label="split off" render="true" />
      <category value="merged" type="string" symbol="5" label="merged" render="true" />
      <category value="no significant change" type="string" symbol="6" label="no significant change" render="true" />
      <category value="not observed" type="string" symbol="7" label="not observed" render="true" />
    </categories>
    <symbols>
      <symbol type="fill" name="0" alpha="1" clip_to_extent="1" force_rhr="0">
        <layer class="SimpleFill" pass="0" enabled="1" locked="0">
          <Option type="Map">
            <Option name="color" value="0,114,178,115" type="QString" />
            <Option name="style" value="solid" type="QString" />
            <Option name="outline_color" value="0,114,178,255" type="QString" />
            <Option name="outline_style" value="solid" type="QString" />
            <Option name="outline_width" value="0.4" type="QString" />
            <Option name="outline_width_unit" value="MM" type="QString" />
            <Option name="joinstyle" value="round" type="QString" />
          </Option>
        </layer>
      </symbol>
      <symbol type="fill" name="1" alpha="1" clip_to_extent="1" force_rhr="0">
        <layer class="SimpleFill" pass="0" enabled="1" locked="0">
          <Option type="Map">
            <Option name="color" value="230,159,0,115" type="QString" />
            <Option name="style" value="solid" type="QString" />
            <Option name="outline_color" value="230,159,0,255" type="QString" />
            <Option name="outline_style" value="solid" type="QString" />
            <Option name="outline_width" value="0.4" type="QString" />
            <Option name="outline_width_unit" value="MM" type="QString" />
            <Option name="joinstyle" value="round" type="QString" />
          </Option>
        </layer>
      </symbol>
      <symbol type="fill" name="2" alpha="1" clip_to_extent="1" force_rhr="0">
        <layer class="SimpleFill" pass="0" enabled="1" locked="0">
          <Option type="Map">
            <Option name="color" value="86,180,233,115" type="QString" />
            <Option name="style" value="solid" type="QString" />
            <Option name="outline_color" value="86,180,233,255" type="QString" />
            <Option name="outline_style" value="solid" type="QString" />
            <Option name="outline_width" value="0.4" type="QString" />
            <Option name="outline_width_unit" value="MM" type="QString" />
            <Option name="joinstyle" value="round" type="QString" />
          </Option>
        </layer>
      </symbol>
      <symbol type="fill" name="3" alpha="1" clip_to_extent="1" force_rhr="0">
        <layer class="SimpleFill" pass="0" enabled="1" locked="0">
          <Option type="Map">
            <Option name="color" value="213,94,0,115" type="QString" />
            <Option name="style" value="solid" type="QString" />
            <Option name="outline_color" value="213,94,0,255" type="QString" />
            <Option name="outline_style" value="solid" type="QString" />
            <Option name="outline_width" value="0.4" type="QString" />
            <Option name="outline_width_unit" value="MM" type="QString" />
            <Option name="joinstyle" value="round" type="QString" />
          </Option>
        </layer>
      </symbol>
      <symbol type="fill" name="4" alpha="1" clip_to_extent="1" force_rhr="0">
        <layer class="SimpleFill" pass="0" enabled="1" locked="0">
          <Option type="Map">
            <Option name="color" value="204,121,167,115" type="QString" />
            <Option name="style" value="solid" type="QString" />
            <Option name="outline_color" value="204,121,167,255" type="QString" />
            <Option name="outline_style" value="solid" type="QString" />
            <Option name="outline_width" value="0.4" type="QString" />
            <Option name="outline_width_unit" value="MM" type="QString" />
            <Option name="joinstyle" value="round" type="QString" />
          </Option>
        </layer>
      </symbol>
      <symbol type="fill" name="5" alpha="1" clip_to_extent="1" force_rhr="0">
        <layer class="SimpleFill" pass="0" enabled="1" locked="0">
          <Option type="Map">
            <Option name="color" value="0,158,115,115" type="QString" />
            <Option name="style" value="solid" type="QString" />
            <Option name="outline_color" value="0,158,115,255" type="QString" />
            <Option name="outline_style" value="solid" type="QString" />
            <Option name="outline_width" value="0.4" type="QString" />
            <Option name="outline_width_unit" value="MM" type="QString" />
            <Option name="joinstyle" value="round" type="QString" />
          </Option>
        </layer>
      </symbol>
      <symbol type="fill" name="6" alpha="1" clip_to_extent="1" force_rhr="0">
        <layer class="SimpleFill" pass="0" enabled="1" locked="0">
          <Option type="Map">
            <Option name="color" value="0,0,0,0" type="QString" />
            <Option name="style" value="no" type="QString" />
            <Option name="outline_color" value="0,0,0,255" type="QString" />
            <Option name="outline_style" value="solid" type="QString" />
            <Option name="outline_width" value="0.4" type="QString" />
            <Option name="outline_width_unit" value="MM" type="QString" />
            <Option name="joinstyle" value="round" type="QString" />
          </Option>
        </layer>
      </symbol>
      <symbol type="fill" name="7" alpha="1" clip_to_extent="1" force_rhr="0">
        <layer class="SimpleFill" pass="0" enabled="1" locked="0">
          <Option type="Map">
            <Option name="color" value="88,88,88,0" type="QString" />
            <Option name="style" value="no" type="QString" />
            <Option name="outline_color" value="88,88,88,255" type="QString" />
            <Option name="outline_style" value="solid" type="QString" />
            <Option name="outline_width" value="0.4" type="QString" />
            <Option name="outline_width_unit" value="MM" type="QString" />
            <Option name="joinstyle" value="round" type="QString" />
          </Option>
        </layer>
      </symbol>
    </symbols>
  </renderer-v2>
  <mapTip enabled="1">&lt;b&gt;[% "code" %]&lt;/b&gt; [% "season_from" %] to [% "season_to" %]&lt;br&gt;[% "verdict" %]: [% round("change_m2" / 10000, 2) %] ha ± [% round("detection_limit_m2" / 10000, 2) %]</mapTip>
  <layerGeometryType>2</layerGeometryType>
</qgis>
